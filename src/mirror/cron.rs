//! Times of day as in crontab: minute, hour, day of the month, month, day of the week.

use jiff::civil::{Date, DateTime, Time};
use jiff::{ToSpan as _, Zoned};

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Days that are looked through: February 29 is up to eight years away.
const MAX_DAYS: i32 = 8 * 366 + 1;

/// Five fields of crontab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cron {
    minutes: Values,
    hours: Values,
    days: Values,
    months: Values,
    /// From Sunday, which is 0.
    weekdays: Values,
}

/// The numbers of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Values {
    /// Bit N is set for the number N.
    bits: u64,
    /// Whether the field begins with `*`.
    is_open: bool,
}

/// What a field may contain.
struct Field {
    name: &'static str,
    first: u8,
    last: u8,
    /// Names of the numbers from `first` on.
    names: &'static [&'static str],
}

impl Cron {
    /// Parses `17 */2 * * mon-fri`. Names of months and days have three letters; Sunday is 0 or 7.
    ///
    /// # Errors
    /// What is wrong with a field, or that the days never come.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = *fields.as_slice() else {
            return Err("expected five fields as in crontab".to_owned());
        };
        let field = |name, first, last, names| Field { name, first, last, names };
        let mut weekdays = field("day of week", 0, 7, &WEEKDAYS).parse(weekdays)?;
        weekdays.bits |= weekdays.bits >> 7 & 1;
        let cron = Self {
            minutes: field("minute", 0, 59, &[]).parse(minutes)?,
            hours: field("hour", 0, 23, &[]).parse(hours)?,
            days: field("day of month", 1, 31, &[]).parse(days)?,
            months: field("month", 1, 12, &MONTHS).parse(months)?,
            weekdays,
        };
        let start = DateTime::constant(2000, 1, 1, 0, 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC);
        let comes = start.is_ok_and(|start| cron.next_after(&start).is_some());
        if comes { Ok(cron) } else { Err("no month has such a day".to_owned()) }
    }

    /// The first time after this one, in its time zone. One that the change to summer time skips is as much later; one that occurs
    /// twice counts once.
    pub(crate) fn next_after(&self, now: &Zoned) -> Option<Zoned> {
        let today = now.date();
        for day in 0..MAX_DAYS {
            let date = today.checked_add(day.days()).ok()?;
            if !self.has_day(date) {
                continue;
            }
            let hours = (0..24).filter(|hour| self.hours.has(*hour));
            for hour in hours {
                for minute in (0..60).filter(|minute| self.minutes.has(*minute)) {
                    let time = Time::new(hour, minute, 0, 0).ok()?;
                    let zoned = date.to_datetime(time).to_zoned(now.time_zone().clone()).ok()?;
                    if zoned > *now {
                        return Some(zoned);
                    }
                }
            }
        }
        None
    }

    /// As in crontab: where both kinds of days are given, one of them is enough.
    fn has_day(&self, date: Date) -> bool {
        let is_day = self.days.has(date.day());
        let is_weekday = self.weekdays.has(date.weekday().to_sunday_zero_offset());
        let is_either = !self.days.is_open && !self.weekdays.is_open;
        self.months.has(date.month())
            && if is_either { is_day || is_weekday } else { is_day && is_weekday }
    }
}

impl Values {
    fn has(self, number: i8) -> bool {
        u32::try_from(number)
            .is_ok_and(|number| self.bits.checked_shr(number).unwrap_or(0) & 1 == 1)
    }
}

impl Field {
    /// Parses `*`, `5`, `1-5`, `*/10`, `1-30/2`, and lists of them.
    fn parse(&self, text: &str) -> Result<Values, String> {
        let mut bits = 0;
        for part in text.split(',') {
            let (range, step) = match part.split_once('/') {
                Some((range, step)) => (range, step.parse().ok().filter(|step| *step > 0)),
                None => (part, Some(1)),
            };
            let step: usize = step.ok_or_else(|| self.invalid(part))?;
            let (first, last) = match range.split_once('-') {
                _ if range == "*" => (self.first, self.last),
                Some((first, last)) => (self.number(first)?, self.number(last)?),
                // In `5/10`, some programs would take it for a range.
                None if step > 1 => return Err(self.invalid(part)),
                None => (self.number(range)?, self.number(range)?),
            };
            if first > last {
                return Err(self.invalid(part));
            }
            (first..=last).step_by(step).for_each(|number| bits |= 1_u64 << number);
        }
        Ok(Values { bits, is_open: text.starts_with('*') })
    }

    fn number(&self, text: &str) -> Result<u8, String> {
        let named =
            self.names.iter().zip(self.first..).find(|(name, _)| name.eq_ignore_ascii_case(text));
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number =
            named.map(|(_, number)| number).or_else(|| text.parse().ok().filter(|_| digits));
        number
            .filter(|number| (self.first..=self.last).contains(number))
            .ok_or_else(|| self.invalid(text))
    }

    fn invalid(&self, text: &str) -> String {
        format!("`{text}` is no {} from {} to {}", self.name, self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn next(cron: &str, now: &str, zone: &str) -> String {
        let now: DateTime = now.parse().unwrap();
        let now = now.to_zoned(TimeZone::get(zone).unwrap()).unwrap();
        Cron::parse(cron)
            .unwrap()
            .next_after(&now)
            .unwrap()
            .strftime("%Y-%m-%d %H:%M %z")
            .to_string()
    }

    #[test]
    fn cron_names_next_time() {
        // A Saturday.
        for (cron, expected) in [
            ("* * * * *", "2026-11-28 12:31 +0000"),
            ("30 12 * * *", "2026-11-29 12:30 +0000"),
            ("17 * * * *", "2026-11-28 13:17 +0000"),
            ("*/20 * * * *", "2026-11-28 12:40 +0000"),
            ("5-59/20 12 * * *", "2026-11-28 12:45 +0000"),
            ("0 0,6 * * *", "2026-11-29 00:00 +0000"),
            ("0 6 * * mon-fri", "2026-11-30 06:00 +0000"),
            ("0 6 * * 7", "2026-11-29 06:00 +0000"),
            ("0 6 * * SUN", "2026-11-29 06:00 +0000"),
            ("0 6 1 * 2", "2026-12-01 06:00 +0000"),
            ("0 6 13 * mon", "2026-11-30 06:00 +0000"),
            ("0 6 */2 * mon", "2026-12-07 06:00 +0000"),
            ("0 6 1 jan *", "2027-01-01 06:00 +0000"),
            ("0 6 29 2 *", "2028-02-29 06:00 +0000"),
        ] {
            assert_eq!(next(cron, "2026-11-28T12:30", "UTC"), expected, "{cron}");
        }
    }

    #[test]
    fn cron_time_skipped_by_summer_time_is_later() {
        let zone = "Europe/Berlin";
        assert_eq!(next("30 2 * * *", "2026-03-28T12:00", zone), "2026-03-29 03:30 +0200");
        assert_eq!(next("30 2 * * *", "2026-03-29T03:30", zone), "2026-03-30 02:30 +0200");
        // It occurs twice: this is the first, and the next one is a day later.
        assert_eq!(next("30 2 * * *", "2026-10-24T12:00", zone), "2026-10-25 02:30 +0200");
        assert_eq!(next("30 2 * * *", "2026-10-25T02:30", zone), "2026-10-26 02:30 +0100");
    }

    #[test]
    fn malformed_cron_is_rejected() {
        for (cron, reason) in [
            ("* * * *", "expected five fields"),
            ("* * * * * *", "expected five fields"),
            ("60 * * * *", "`60` is no minute from 0 to 59"),
            ("* 24 * * *", "`24` is no hour"),
            ("* * 0 * *", "`0` is no day of month"),
            ("* * * 13 *", "`13` is no month"),
            ("* * * * 8", "`8` is no day of week"),
            ("* * * * monday", "`monday` is no day of week"),
            ("*/0 * * * *", "`*/0` is no minute"),
            ("5/10 * * * *", "`5/10` is no minute"),
            ("9-5 * * * *", "`9-5` is no minute"),
            ("+5 * * * *", "`+5` is no minute"),
            ("1,,2 * * * *", "`` is no minute"),
            ("-1 * * * *", "`` is no minute"),
            ("0 0 31 2,4 *", "no month has such a day"),
        ] {
            let error = Cron::parse(cron).unwrap_err();
            assert!(error.contains(reason), "{cron}: {error}");
        }
    }
}
