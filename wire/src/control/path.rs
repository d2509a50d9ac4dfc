//! Paths as text and back.

use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

/// A path, which need not be UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PathText {
    /// The usual case.
    Text(String),
    /// Base64 of the bytes.
    Raw {
        /// Base64.
        bytes: String,
    },
}

impl From<&Path> for PathText {
    /// Text where the path is UTF-8, else base64 of its bytes.
    fn from(path: &Path) -> Self {
        match path.to_str() {
            Some(text) => Self::Text(text.to_owned()),
            None => Self::Raw {
                bytes: BASE64.encode(path.as_os_str().as_encoded_bytes()),
            },
        }
    }
}

impl PathText {
    /// The path; `None` when the base64 cannot be read, or what it holds is no path here. Whether it is absolute or exists is not checked.
    pub fn to_path(&self) -> Option<PathBuf> {
        match self {
            Self::Text(text) => Some(text.into()),
            Self::Raw { bytes } => {
                let bytes = BASE64.decode(bytes.as_bytes()).ok()?;
                path_of(bytes)
            }
        }
    }
}

/// A path is what its bytes are.
#[cfg(unix)]
fn path_of(bytes: Vec<u8>) -> Option<PathBuf> {
    let path: std::ffi::OsString = std::os::unix::ffi::OsStringExt::from_vec(bytes);
    Some(path.into())
}

/// Elsewhere only text is a path.
#[cfg(not(unix))]
fn path_of(bytes: Vec<u8>) -> Option<PathBuf> {
    String::from_utf8(bytes).ok().map(PathBuf::from)
}

#[cfg(all(test, unix))]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;
    use serde_json::json;

    #[test]
    fn every_path_comes_back_as_it_was() {
        for (bytes, expected) in [
            (&b"/a/\xc3\xa9"[..], json!("/a/\u{e9}")),
            (b"/a/\xff", json!({"bytes": "L2Ev/w=="})),
        ] {
            let path = PathBuf::from(OsString::from_vec(bytes.to_vec()));
            let text = PathText::from(&*path);
            assert_eq!(serde_json::to_value(&text).unwrap(), expected);
            let read: PathText = serde_json::from_value(expected).unwrap();
            assert_eq!(read.to_path(), Some(path));
        }
        let broken = PathText::Raw { bytes: "*".into() };
        assert_eq!(broken.to_path(), None);
    }
}
