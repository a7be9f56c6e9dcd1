//! Time: instants for people, monotonic durations for measuring, and how both are written.

use std::time::{Duration, Instant};

/// Now, in UTC, as RFC 3339 with microseconds.
pub fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// Today in UTC, `YYYYMMDD`: what `{{ run.date }}` means.
pub fn today() -> String {
    jiff::Timestamp::now().strftime("%Y%m%d").to_string()
}

/// `instant` (RFC 3339) plus `span`, RFC 3339 again.
///
/// # Errors
/// `instant` is no timestamp or the sum is out of range; says so.
pub fn plus(instant: &str, span: Duration) -> Result<String, String> {
    let at: jiff::Timestamp = instant.parse().map_err(|e| format!("`{instant}` is no timestamp: {e}"))?;
    let sum = at.checked_add(span).map_err(|e| format!("`{instant}` plus {span:?}: {e}"))?;
    Ok(sum.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())
}

/// Seconds from `from` to `to` (RFC 3339 both); `None` if either is no timestamp.
pub fn seconds_between(from: &str, to: &str) -> Option<f64> {
    let (a, b): (jiff::Timestamp, jiff::Timestamp) = (from.parse().ok()?, to.parse().ok()?);
    Some(b.duration_since(a).as_secs_f64())
}

/// A clock for durations: started once, never set back.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        Stopwatch(Instant::now())
    }

    /// Milliseconds since the start.
    pub fn ms(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Nanoseconds since the start.
    pub fn ns(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Reads a duration: one number and one unit of `ms`, `s`, `m`, `h`, `d`, as in `500ms` or `7d`.
///
/// # Errors
/// Says what is wrong with the text.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| format!("`{text}` is no duration"))?;
    let ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(format!("`{text}` needs a unit: `ms`, `s`, `m`, `h` or `d`")),
    };
    number.checked_mul(ms).map(Duration::from_millis).ok_or_else(|| format!("`{text}` is too long"))
}

/// How long something took, for people: `4.1s`, `1:52`, `2:03:10`.
pub fn show_ms(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0..60 => format!("{}.{}s", seconds, ms % 1_000 / 100),
        60..3_600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        _ => format!("{}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("7d"), Ok(Duration::from_secs(604_800)));
        for bad in ["", "7", "m", "1.5s", "7 d", "99999999999999999999d", "9999999999999999d"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn shown_times_are_short() {
        assert_eq!(show_ms(4_120), "4.1s");
        assert_eq!(show_ms(112_000), "1:52");
        assert_eq!(show_ms(7_390_000), "2:03:10");
    }

    #[test]
    fn days_add_up() {
        assert_eq!(
            plus("2026-06-02T00:00:00Z", Duration::from_secs(86_400)).as_deref(),
            Ok("2026-06-03T00:00:00.000000Z")
        );
    }
}
