//! What a hook prints: read as it comes, kept in part.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// A stream that gives more than this is closed, which ends most programs.
const MOST: u64 = 1024 * 1024;
/// Bytes of the first line that are kept: a reason, or an answer as JSON.
const FIRST: usize = 16 * 1024;
/// Bytes of the end that are kept.
const TAIL: usize = 4 * 1024;

/// The output of one run; cloning gives another handle on it.
#[derive(Clone, Default)]
pub struct Output(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    first: Vec<u8>,
    first_ended: bool,
    tail: Vec<u8>,
    too_much: bool,
}

impl Output {
    /// Reads a stream until it ends or gave too much. The first line is kept of standard output alone.
    pub async fn read(self, stream: impl AsyncRead + Unpin, is_stdout: bool) {
        let mut stream = stream.take(MOST);
        let mut buffer = vec![0; 16 * 1024];
        loop {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(len) => self.kept().add(&buffer[..len], is_stdout),
            }
        }
        if stream.limit() == 0 {
            self.kept().too_much = true;
        }
    }

    /// The first line of standard output, without its end.
    pub fn first_line(&self) -> String {
        let text = String::from_utf8_lossy(&self.kept().first).into_owned();
        text.trim().to_owned()
    }

    /// The end of both streams. Control characters are escaped: this goes to logs and terminals.
    pub fn tail(&self) -> String {
        clean(&String::from_utf8_lossy(&self.kept().tail))
    }

    /// It printed more than is read.
    pub fn is_too_much(&self) -> bool {
        self.kept().too_much
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn add(&mut self, bytes: &[u8], is_stdout: bool) {
        if is_stdout && !self.first_ended {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let room = FIRST - self.first.len();
            let line = &bytes[..end.unwrap_or(bytes.len()).min(room)];
            self.first.extend_from_slice(line);
            self.first_ended = end.is_some() || self.first.len() == FIRST;
        }
        self.tail.extend_from_slice(bytes);
        let over = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..over);
    }
}

/// Text in which no control character is left but the ends of lines.
pub fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => clean.push(c),
            '\t' => clean.push(' '),
            c if c.is_control() => clean.extend(c.escape_default()),
            c => clean.push(c),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_line_and_the_end_are_kept() {
        let output = Output::default();
        let (out, err) = (&b" infected \nmore\n"[..], &b"oh\x1b[2J\n"[..]);
        output.clone().read(out, true).await;
        output.clone().read(err, false).await;
        assert_eq!(output.first_line(), "infected");
        assert_eq!(output.tail(), " infected \nmore\noh\\u{1b}[2J\n");
        assert!(!output.is_too_much());
    }

    #[tokio::test]
    async fn what_is_too_much_is_not_read() {
        let output = Output::default();
        let endless = tokio::io::repeat(b'x');
        output.clone().read(endless, true).await;
        assert!(output.is_too_much());
        assert_eq!(output.first_line().len(), FIRST);
        assert_eq!(output.tail().len(), TAIL);
    }
}
