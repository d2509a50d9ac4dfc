//! Quantities on the command line: the grammar of `p2p_wire::units`, with the words that belong to an option.

use std::time::Duration;

use p2p_wire::metainfo::MAX_PIECE_LEN;
use p2p_wire::units::{Rate, Size, Time, UnitError};

/// Shortest piece in bytes.
const MIN_PIECE_LEN: u32 = 16 * 1024;

/// Bytes/s; `none` and `0` are no limit, which is 0.
pub(crate) fn parse_rate(text: &str) -> Result<u64, UnitError> {
    match text {
        "none" => Ok(0),
        text => Ok(text.parse::<Rate>()?.0),
    }
}

/// A duration with its unit: `500ms`, `10s`, `5m`, `2h`, `30d`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    Ok(text.parse::<Time>()?.0)
}

/// What `--piece-size` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PieceSize {
    /// By the size of the content.
    Auto,
    /// So many bytes.
    Bytes(u32),
}

impl PieceSize {
    /// The size that was named, if one was.
    pub(crate) fn bytes(self) -> Option<u32> {
        match self {
            Self::Auto => None,
            Self::Bytes(bytes) => Some(bytes),
        }
    }
}

/// Bytes of a piece: `auto`, or a power of two in the range that is read back.
pub(crate) fn parse_piece_size(text: &str) -> Result<PieceSize, String> {
    if text == "auto" {
        return Ok(PieceSize::Auto);
    }
    let bytes = text.parse::<Size>().map_err(|error| error.to_string())?.0;
    match u32::try_from(bytes) {
        Ok(len) if len.is_power_of_two() && (MIN_PIECE_LEN..=MAX_PIECE_LEN).contains(&len) => {
            Ok(PieceSize::Bytes(len))
        }
        _ => Err(format!(
            "it must be auto or a power of two from {} to {}, such as 512KiB or 4MiB",
            Size(MIN_PIECE_LEN.into()),
            Size(MAX_PIECE_LEN.into())
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_has_a_word() {
        assert_eq!(parse_rate("none"), Ok(0));
        assert_eq!(parse_rate("5MiB/s"), Ok(5 << 20));
        assert!(parse_rate("fast").is_err());
    }

    #[test]
    fn piece_sizes_are_powers_of_two() {
        assert_eq!(parse_piece_size("512KiB"), Ok(PieceSize::Bytes(512 << 10)));
        assert_eq!(parse_piece_size("auto"), Ok(PieceSize::Auto));
        for wrong in ["8KiB", "100KiB", "128MiB", "0", "big"] {
            assert!(parse_piece_size(wrong).is_err(), "{wrong}");
        }
    }
}
