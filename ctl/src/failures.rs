//! Errors of some of several things, told as they come, while the others go on.

use p2p_wire::control::ErrorKind;

use crate::context::Context;
use crate::error::Error;

/// What went wrong so far. The first decides the exit code.
pub(crate) struct Failures<'a> {
    context: &'a Context,
    first: Option<u8>,
}

impl<'a> Failures<'a> {
    /// None yet.
    pub(crate) fn new(context: &'a Context) -> Self {
        Self {
            context,
            first: None,
        }
    }

    /// Tells the user.
    pub(crate) fn add(&mut self, error: Error) {
        crate::tell(&error, self.context);
        self.first.get_or_insert(error.exit_code());
    }

    /// What p2pd answered to a request that begins something; `None` where it refused, of which the user is told. Who stops waiting for the
    /// answer is told that the work goes on.
    pub(crate) fn begun<T>(&mut self, answer: Result<T, Error>) -> Result<Option<T>, Error> {
        match answer {
            Ok(begun) => Ok(Some(begun)),
            Err(error @ Error::Told(_)) => {
                self.add(error);
                Ok(None)
            }
            Err(Error::Quiet(_)) => {
                let text = "What was begun goes on in p2pd. Look:  p2pctl status";
                self.context.out.talk(text);
                Err(Error::Quiet(ErrorKind::StillRunning as u8))
            }
            Err(error) => Err(error),
        }
    }

    /// Ends with this kind's code if nothing went wrong before; the user knows why.
    pub(crate) fn end_with(&mut self, kind: ErrorKind) {
        self.first.get_or_insert(kind as u8);
    }

    /// The end of the command.
    pub(crate) fn end(self) -> Result<(), Error> {
        self.first.map_or(Ok(()), |code| Err(Error::Quiet(code)))
    }
}
