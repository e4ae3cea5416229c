//! Moments as Icecast's statistics write them, in UTC.

use std::time::Duration;

use protocol_http::write_http_date;

/// `Sat, 21 Nov 2026 00:09:13 +0000`.
pub(super) fn rfc2822(unix: Duration) -> String {
    let text = http_date(unix);
    format!("{} +0000", &text[..TIME_END])
}

/// `2026-11-21T00:09:13+0000`.
pub(super) fn iso8601(unix: Duration) -> String {
    let text = http_date(unix);
    let (day, name, year, time) =
        (&text[5..7], &text[8..11], &text[12..16], &text[TIME_END - 8..TIME_END]);
    let month = MONTHS.find(name).map_or(0, |at| at / 3) + 1;
    format!("{year}-{month:02}-{day}T{time}+0000")
}

/// `3 h 02 min`, for people.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes} min {:02} s", seconds % 60),
        (0, _) => format!("{hours} h {minutes:02} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// Where `Sat, 21 Nov 2026 00:09:13 GMT` has its zone, less the blank before it.
const TIME_END: usize = 25;

const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";

fn http_date(unix: Duration) -> String {
    let mut bytes = Vec::with_capacity(protocol_http::HTTP_DATE_BYTES);
    write_http_date(unix.as_secs(), &mut bytes);
    String::from_utf8(bytes).expect("a date is ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_look_as_icecast_writes_them() {
        let start = Duration::from_secs(1_795_219_753);
        assert_eq!(rfc2822(start), "Sat, 21 Nov 2026 00:09:13 +0000");
        assert_eq!(iso8601(start), "2026-11-21T00:09:13+0000");
        assert_eq!(iso8601(Duration::ZERO), "1970-01-01T00:00:00+0000");
        assert_eq!(iso8601(Duration::from_secs(1_709_251_199)), "2024-02-29T23:59:59+0000");
        assert_eq!(iso8601(Duration::MAX), "9999-12-31T23:59:59+0000");
    }

    #[test]
    fn spans_are_short() {
        let text = |seconds| span(Duration::from_secs(seconds));
        assert_eq!(text(5), "0 min 05 s");
        assert_eq!(text(3_725), "1 h 02 min");
        assert_eq!(text(90_000), "1 d 1 h");
    }
}
