//! Durations as ARM writes them: ISO 8601, such as `PT8H` and `P365D`.

use time::Duration;

/// Longest duration that is read: a thousand years, so that adding one to an instant of today never overflows.
const LONGEST: Duration = Duration::days(365_000);

/// Reads `P[nY][nM][nW][nD][T[nH][nM][nS]]` with whole numbers. A year has 365 days and a month 30, as where Azure counts
/// with them. `None` when it is anything else, empty, or longer than a thousand years.
pub fn parse(text: &str) -> Option<Duration> {
    let text = text.strip_prefix('P')?;
    let (days, clock) = match text.split_once('T') {
        Some((_, "")) => return None,
        Some((days, clock)) => (days, clock),
        None => (text, ""),
    };
    let day = |n| 86_400_i64 * n;
    let units = [('Y', day(365)), ('M', day(30)), ('W', day(7)), ('D', day(1))];
    let (date, dates) = sum(days, &units)?;
    let (time, times) = sum(clock, &[('H', 3600), ('M', 60), ('S', 1)])?;
    let seconds = date.checked_add(time)?;
    (dates + times > 0 && seconds <= LONGEST.whole_seconds()).then(|| Duration::seconds(seconds))
}

/// The seconds of `n` units each, which stand in the order of `units`, and how many there are.
fn sum(mut text: &str, units: &[(char, i64)]) -> Option<(i64, usize)> {
    let (mut seconds, mut count) = (0_i64, 0);
    for (unit, worth) in units {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let Some(rest) = text[digits..].strip_prefix(*unit) else { continue };
        let number: i64 = text[..digits].parse().ok()?;
        seconds = seconds.checked_add(number.checked_mul(*worth)?)?;
        text = rest;
        count += 1;
    }
    text.is_empty().then_some((seconds, count))
}

/// Writes a duration of whole seconds in days, hours, minutes and seconds.
pub fn write(duration: Duration) -> String {
    let seconds = duration.whole_seconds().max(0);
    let parts =
        [(seconds / 86_400, 'D'), (seconds / 3600 % 24, 'H'), (seconds / 60 % 60, 'M'), (seconds % 60, 'S')];
    let shown = |range: std::ops::Range<usize>| -> String {
        parts[range].iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect()
    };
    match (shown(0..1), shown(1..4)) {
        (days, clock) if days.is_empty() && clock.is_empty() => "PT0S".to_owned(),
        (days, clock) if clock.is_empty() => format!("P{days}"),
        (days, clock) => format!("P{days}T{clock}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read_as_azure_writes_them() {
        for (text, seconds) in [
            ("PT8H", 28_800),
            ("P365D", 31_536_000),
            ("P1Y", 31_536_000),
            ("P1M", 2_592_000),
            ("PT1M", 60),
            ("P1DT12H", 129_600),
            ("P2W", 1_209_600),
            ("PT0S", 0),
        ] {
            assert_eq!(parse(text), Some(Duration::seconds(seconds)), "{text}");
        }
        for text in [
            "",
            "P",
            "PT",
            "P1DT",
            "8H",
            "PT8",
            "PT-8H",
            "PT8H ",
            "PT1M1H",
            "PT1.5H",
            "P9999999999999Y",
            "PTH",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(seconds in 0_i64..365_000 * 86_400) {
            let duration = Duration::seconds(seconds);
            prop_assert_eq!(parse(&write(duration)), Some(duration));
        }

        #[test]
        fn no_text_breaks_it(text in "[P0-9YMWDTHS.-]{0,24}") {
            if let Some(duration) = parse(&text) {
                prop_assert!(duration <= LONGEST && duration >= Duration::ZERO);
            }
        }
    }
}
