//! HTTP dates (RFC 9110 §5.6.7), to and from seconds since 1970. Reads all three forms, writes one.

/// Length of a written date.
pub const HTTP_DATE_BYTES: usize = 29;

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY_SECONDS: u64 = 86_400;
/// 9999-12-31T23:59:59: the last second with a four-digit year.
const SECONDS_MAX: u64 = 253_402_300_799;

/// Appends `Sun, 06 Nov 1994 08:49:37 GMT`, always [`HTTP_DATE_BYTES`] long. Times beyond the year
/// 9999 are written as its last second.
pub fn write_http_date(unix_seconds: u64, out: &mut Vec<u8>) {
    let seconds = unix_seconds.min(SECONDS_MAX);
    let (days, second) = (seconds / DAY_SECONDS, seconds % DAY_SECONDS);
    let (year, month, day) = civil_from_days(days);
    let two = |number: u64| [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
    // 1 January 1970 was a Thursday.
    out.extend_from_slice(DAYS[((days + 4) % 7) as usize].as_bytes());
    out.extend_from_slice(b", ");
    out.extend_from_slice(&two(day));
    out.push(b' ');
    out.extend_from_slice(MONTHS[month as usize - 1].as_bytes());
    out.push(b' ');
    out.extend_from_slice(&two(year / 100));
    out.extend_from_slice(&two(year % 100));
    out.push(b' ');
    out.extend_from_slice(&two(second / 3600));
    out.push(b':');
    out.extend_from_slice(&two(second / 60 % 60));
    out.push(b':');
    out.extend_from_slice(&two(second % 60));
    out.extend_from_slice(b" GMT");
}

/// Seconds since 1970 of a date in any of the three forms; `None` for anything else, and for dates
/// before 1970. The day's name is not checked against the date.
pub fn parse_http_date(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    let mut words = text.split_ascii_whitespace();
    let first = words.next()?;
    if DAYS.contains(&first) {
        // asctime: Sun Nov  6 08:49:37 1994
        let (month, day, time, year) = (words.next()?, words.next()?, words.next()?, words.next()?);
        end(words)?;
        return assemble(number(year, 4)?, month, number_short(day)?, time);
    }
    if first.ends_with(',') && first.len() == 4 {
        // Sun, 06 Nov 1994 08:49:37 GMT
        let (day, month, year, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
        (words.next()? == "GMT").then_some(())?;
        end(words)?;
        return assemble(number(year, 4)?, month, number(day, 2)?, time);
    }
    // Sunday, 06-Nov-94 08:49:37 GMT: two digits of year, of which 70 to 99 are the last century's.
    first.strip_suffix("day,")?;
    let (date, time) = (words.next()?, words.next()?);
    (words.next()? == "GMT").then_some(())?;
    end(words)?;
    let mut parts = date.split('-');
    let (day, month, year) = (parts.next()?, parts.next()?, number(parts.next()?, 2)?);
    end(parts)?;
    assemble(if year < 70 { 2000 + year } else { 1900 + year }, month, number(day, 2)?, time)
}

fn assemble(year: u64, month: &str, day: u64, time: &str) -> Option<u64> {
    let month = 1 + MONTHS.iter().position(|name| *name == month)? as u64;
    let mut parts = time.split(':');
    let hour = number(parts.next()?, 2)?;
    let minute = number(parts.next()?, 2)?;
    let second = number(parts.next()?, 2)?;
    end(parts)?;
    // A leap second counts as the one before it.
    let in_range = year >= 1970 && hour < 24 && minute < 60 && second <= 60;
    let days = days_from_civil(year, month, day).filter(|_| in_range)?;
    Some(days * DAY_SECONDS + hour * 3600 + minute * 60 + second.min(59))
}

fn end<'t>(mut words: impl Iterator<Item = &'t str>) -> Option<()> {
    words.next().is_none().then_some(())
}

fn number(text: &str, digits_count: usize) -> Option<u64> {
    let fits = text.len() == digits_count && text.bytes().all(|byte| byte.is_ascii_digit());
    if fits { text.parse().ok() } else { None }
}

fn number_short(text: &str) -> Option<u64> {
    number(text, 1).or_else(|| number(text, 2))
}

/// Year, month (1 to 12) and day of a day counted from 1970-01-01. Years are counted from March,
/// so that the leap day is the last; 400 years are 146,097 days.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// The other way; `None` for a day that the month does not have.
fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    let from_march = year - u64::from(month <= 2);
    let (era, year_of_era) = (from_march / 400, from_march % 400);
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month_from_march + 2) / 5 + day.checked_sub(1)?;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (era * 146_097 + day_of_era).checked_sub(719_468)?;
    (civil_from_days(days) == (year, month, day)).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(unix_seconds: u64) -> String {
        let mut out = Vec::new();
        write_http_date(unix_seconds, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn known_dates() {
        assert_eq!(written(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(written(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(written(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(written(u64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn all_three_forms() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse_http_date(text.as_bytes()), Some(784_111_777), "{text}");
        }
    }

    #[test]
    fn no_dates() {
        for text in [
            "",
            "Sun",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1969 08:49:37 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT x",
        ] {
            assert_eq!(parse_http_date(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn every_day_of_two_centuries_comes_back() {
        for day in 0..73_000 {
            let seconds = day * DAY_SECONDS + day % DAY_SECONDS;
            assert_eq!(parse_http_date(written(seconds).as_bytes()), Some(seconds));
        }
    }
}
