//! Paths between the socket and the file system.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use p2p_wire::control::{ErrorKind, PathText};

use super::caller::Caller;
use crate::Fault;
use crate::rights::Purpose;

/// The path that a client named; relative ones are refused, for they mean nothing here.
pub(super) fn absolute(text: &PathText) -> Result<PathBuf, Fault> {
    let path = any(text)?;
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(Fault::new(
            ErrorKind::Usage,
            format!("{} is no absolute path", path.display()),
            "p2pd has no folder of its own to begin from",
            "Give the whole path, beginning with /",
        ))
    }
}

/// The path that a client named, with links resolved, opened as `purpose` needs with the client's own rights. For administrators only
/// that it is absolute is looked at here: the daemon's own rights count, as it uses it.
pub(super) async fn opened(
    caller: &Caller,
    purpose: Purpose,
    text: &PathText,
) -> Result<PathBuf, Fault> {
    let path = absolute(text)?;
    match caller.rights() {
        Some(rights) => rights.look(purpose, &path).await,
        None => Ok(path),
    }
}

/// The path or name that a client gave.
pub(super) fn any(text: &PathText) -> Result<PathBuf, Fault> {
    let bytes = match text {
        PathText::Text(text) => text.clone().into_bytes(),
        PathText::Raw { bytes } => BASE64.decode(bytes.as_bytes()).map_err(|error| {
            Fault::new(
                ErrorKind::Usage,
                "the path cannot be read",
                format!("it is not base64: {error}"),
                "",
            )
        })?,
    };
    if bytes.is_empty() || bytes.contains(&0) {
        return Err(Fault::new(
            ErrorKind::Usage,
            "that is no path",
            "it is empty or has a NUL in it",
            "",
        ));
    }
    Ok(PathBuf::from(OsString::from_vec(bytes)))
}

/// A path as it goes to a client.
pub(super) fn text(path: &Path) -> PathText {
    match path.to_str() {
        Some(text) => PathText::Text(text.to_owned()),
        None => PathText::Raw {
            bytes: BASE64.encode(path.as_os_str().as_bytes()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_are_not_utf8_come_through() {
        let path = PathBuf::from(OsString::from_vec(b"/a/\xff".to_vec()));
        assert_eq!(absolute(&text(&path)).unwrap(), path);
        let path = Path::new("/a/b");
        assert_eq!(text(path), PathText::Text("/a/b".into()));
    }

    #[test]
    fn what_is_no_absolute_path_is_refused() {
        for wrong in ["", "a/b", "/a\0b"] {
            let fault = absolute(&PathText::Text(wrong.into())).unwrap_err();
            assert_eq!(fault.kind, ErrorKind::Usage, "{wrong:?}");
        }
        let raw = PathText::Raw { bytes: "?".into() };
        assert!(absolute(&raw).is_err());
    }
}
