//! Numbers and times as people read them.

use jiff::{Timestamp, tz::TimeZone};

/// Bytes: `2.4 GiB`, `130 GiB`, `16 MiB`. Two or three digits; a whole number of a unit has no decimal.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut unit = 0;
    let mut scale = 1u64;
    // 1023.5 and more would be shown as 1024 of the smaller unit.
    while unit < 6 && bytes as f64 / scale as f64 >= 1023.5 {
        unit += 1;
        scale *= 1024;
    }
    let value = bytes as f64 / scale as f64;
    if bytes.is_multiple_of(scale) || value >= 9.95 {
        format!("{value:.0} {}", UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// Bytes/s, or `-` for none.
pub(crate) fn rate(bytes_per_second: u64) -> String {
    match bytes_per_second {
        0 => "-".to_owned(),
        rate => format!("{}/s", size(rate)),
    }
}

/// A count with thousands apart: `8,320`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 item`, `17 items`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(number))
}

/// Whole percents, 100 only when all is done; `-` where the whole is not known.
pub(crate) fn percent(done: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    let percent = u128::from(done.min(whole)) * 100 / u128::from(whole);
    format!("{percent}%")
}

/// Whole copies in a swarm, rounded down so that 0.999 does not look like one whole copy.
pub(crate) fn copies(copies: f64) -> String {
    if copies < 1.0 {
        format!("{:.2}", (copies * 100.0).floor() / 100.0)
    } else {
        format!("{:.1}", (copies * 10.0).floor() / 10.0)
    }
}

/// A span of time: `22s`, `3m 20s`, `2h 5m`, `3d 4h`.
pub(crate) fn seconds(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// A span of time that may be short: `0.2s`, or as [`seconds`].
pub(crate) fn millis(millis: u64) -> String {
    match millis {
        0..10_000 => format!("{}.{}s", millis / 1_000, millis / 100 % 10),
        _ => seconds(millis / 1_000),
    }
}

/// An RFC 3339 time as `2 h ago`; a text that is no time stays as it is.
pub(crate) fn ago(time: &str, now: Timestamp) -> String {
    let Ok(then) = time.parse::<Timestamp>() else {
        return crate::text::escape(time);
    };
    let seconds = now.as_second().saturating_sub(then.as_second()).max(0);
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..86_400 => format!("{} h ago", seconds / 3_600),
        86_400..172_800 => "1 day ago".to_owned(),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// An RFC 3339 time in the user's time zone: `2026-11-21 04:05:06`; a text that is no time stays as it is.
pub(crate) fn local_time(time: &str) -> String {
    match time.parse::<Timestamp>() {
        Ok(time) => time
            .to_zoned(TimeZone::system())
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string(),
        Err(_) => crate::text::escape(time),
    }
}

/// Seconds between two RFC 3339 times, if both are.
pub(crate) fn between(start: &str, end: &str) -> Option<u64> {
    let start: Timestamp = start.parse().ok()?;
    let end: Timestamp = end.parse().ok()?;
    u64::try_from(end.as_second().saturating_sub(start.as_second())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_two_or_three_digits() {
        let cases = [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1 KiB"),
            (1_536, "1.5 KiB"),
            (16 << 20, "16 MiB"),
            (10_485_759, "10 MiB"),
            (1_519_802_169, "1.4 GiB"),
            ((1 << 30) - 1, "1.0 GiB"),
            (130 << 30, "130 GiB"),
            (u64::MAX, "16 EiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn only_the_whole_is_a_hundred_percent_and_one_copy() {
        assert_eq!(percent(999, 1_000), "99%");
        assert_eq!(percent(u64::MAX, u64::MAX), "100%");
        assert_eq!(percent(0, 0), "-");
        assert_eq!(copies(0.999), "0.99");
        assert_eq!(copies(9.0), "9.0");
    }

    #[test]
    fn counts_and_times_are_short() {
        assert_eq!(
            (count(8_320), count(1_000_000), count(12)),
            ("8,320".into(), "1,000,000".into(), "12".into())
        );
        assert_eq!(
            (seconds(22), seconds(200), seconds(7_500)),
            ("22s".into(), "3m 20s".into(), "2h 5m".into())
        );
        let now: Timestamp = "2026-01-02T12:00:00Z".parse().unwrap();
        assert_eq!(ago("2026-01-02T10:00:00Z", now), "2 h ago");
        assert_eq!(ago("2026-01-02T13:00:00Z", now), "0 s ago");
        assert_eq!(ago("\u{1b}soon", now), "\\x1bsoon");
        assert_eq!(
            between("2026-01-02T10:00:00Z", "2026-01-02T10:00:05.5Z"),
            Some(5)
        );
    }
}
