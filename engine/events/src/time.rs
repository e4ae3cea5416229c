//! Moments as programs read them.

use protocol_http::write_http_date;

const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";

/// `2026-11-21T00:09:13.250Z`, from milliseconds since the Unix epoch.
pub(crate) fn iso8601_ms(unix_ms: u64) -> String {
    let mut bytes = Vec::with_capacity(protocol_http::HTTP_DATE_BYTES);
    write_http_date(unix_ms / 1000, &mut bytes);
    let text = String::from_utf8(bytes).expect("a date is ASCII");
    // `Sat, 21 Nov 2026 00:09:13 GMT`
    let (day, name, year, time) = (&text[5..7], &text[8..11], &text[12..16], &text[17..25]);
    let month = MONTHS.find(name).map_or(0, |at| at / 3) + 1;
    format!("{year}-{month:02}-{day}T{time}.{:03}Z", unix_ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_sort_as_text() {
        assert_eq!(iso8601_ms(1_795_219_753_250), "2026-11-21T00:09:13.250Z");
        assert_eq!(iso8601_ms(0), "1970-01-01T00:00:00.000Z");
    }
}
