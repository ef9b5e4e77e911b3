//! Changes of runs, each within one transaction: what is refused writes nothing.

use redb::{ReadableTable, Table, WriteTransaction};

use super::{
    ENDED, HEADS, Head, Record, Refused, SIGNALS, STEPS, Status, Taken, VALUES, after, weight,
};
use crate::limits;
use crate::storage::usage::{Kept, Usage};

type Two = (&'static str, &'static str);
type Three = (&'static str, &'static str, u64);

/// The tables, within one transaction.
pub struct Rows<'t> {
    application: &'t str,
    heads: Table<'t, Two, &'static [u8]>,
    values: Table<'t, Two, &'static [u8]>,
    steps: Table<'t, Three, &'static [u8]>,
    signals: Table<'t, Three, &'static [u8]>,
    ended: Table<'t, (&'static str, u64, &'static str), ()>,
    usage: Usage<'t>,
}

/// A refusal inside, which writes nothing; an error of the store outside.
pub type Changed<T> = Result<Result<T, Refused>, redb::Error>;

/// Goes on with what is allowed, and returns what is refused.
macro_rules! allowed {
    ($changed:expr) => {
        match $changed? {
            Ok(allowed) => allowed,
            Err(refused) => return Ok(Err(refused.into())),
        }
    };
}

impl<'t> Rows<'t> {
    pub fn open(
        transaction: &'t WriteTransaction,
        application: &'t str,
    ) -> Result<Self, redb::Error> {
        Ok(Self {
            application,
            heads: transaction.open_table(HEADS)?,
            values: transaction.open_table(VALUES)?,
            steps: transaction.open_table(STEPS)?,
            signals: transaction.open_table(SIGNALS)?,
            ended: transaction.open_table(ENDED)?,
            usage: Usage::open(transaction)?,
        })
    }

    /// A run that there was not.
    pub fn start(&mut self, id: &str, mut head: Head, input: &[u8]) -> Changed<()> {
        if let Some(there) = self.head(id)? {
            let (id, status) = (id.to_owned(), there.status);
            return Ok(Err(Refused::There { id, status }));
        }
        head.bytes = weight(id.len() + head.workflow_type.len() + input.len());
        allowed!(
            self.usage
                .fits(Kept::Runs, self.application, head.bytes, None)
        );
        self.usage.add(Kept::Runs, self.application, head.bytes)?;
        self.values.insert((self.application, id), input)?;
        self.put(id, &head)?;
        Ok(Ok(()))
    }

    /// Takes a step, or writes anew what has become of one. `None` where the run has ended, or begun anew.
    pub fn record(&mut self, record: &Record) -> Changed<Option<()>> {
        let Some(mut head) = self.head(&record.id)? else {
            return Ok(Ok(None));
        };
        if head.status != Status::Running || head.run_id != record.run_id {
            return Ok(Ok(None));
        }
        let taken = &record.taken;
        let at = (self.application, &*record.id, taken.number);
        let row = taken.encode();
        let was = self.steps.get(at)?.map(|was| {
            let doubtful = Taken::decode(taken.number, was.value());
            (
                weight(was.value().len()),
                doubtful.is_some_and(|it| it.step.possibly_repeated),
            )
        });
        let (before, was_doubtful) = was.unwrap_or((0, false));
        let after = weight(row.len());
        head.steps = head.steps.max(taken.number + 1);
        head.steps_bytes = (head.steps_bytes + after).saturating_sub(before);
        if head.steps > limits::RUN_STEPS_MAX || head.steps_bytes > limits::RUN_STEPS_BYTES_MAX {
            return Ok(Err(Refused::Steps));
        }
        if taken.step.possibly_repeated
            && !was_doubtful
            && head.possibly_repeated.len() < limits::RUN_DOUBTS_MAX
        {
            head.possibly_repeated.push(taken.step.name.clone());
        }
        allowed!(self.grow(&mut head, before, after));
        self.steps.insert(at, &*row)?;
        self.put(&record.id, &head)?;
        Ok(Ok(Some(())))
    }

    /// One more signal. Answers with how many there were then.
    pub fn signal(&mut self, id: &str, name: &str, payload: &[u8]) -> Changed<u64> {
        let mut head = match self.head(id)? {
            None => return Ok(Err(Refused::Unknown(id.to_owned()))),
            Some(head) if head.status != Status::Running => {
                let (id, status) = (id.to_owned(), head.status);
                return Ok(Err(Refused::Over { id, status }));
            }
            Some(head) => head,
        };
        let len = u32::try_from(name.len()).expect("names are short");
        let row = [&len.to_le_bytes(), name.as_bytes(), payload].concat();
        head.signals_bytes += weight(row.len());
        if head.signals >= limits::RUN_SIGNALS_MAX
            || head.signals_bytes > limits::RUN_SIGNALS_BYTES_MAX
        {
            return Ok(Err(Refused::Signals));
        }
        allowed!(self.grow(&mut head, 0, weight(row.len())));
        self.signals
            .insert((self.application, id, head.signals), &*row)?;
        head.signals += 1;
        self.put(id, &head)?;
        Ok(Ok(head.signals))
    }

    /// Begins a run anew that has failed: without its steps, with its input and its signals.
    pub fn again(&mut self, id: &str, run_id: &str, next: &str, not_before_ms: u64) -> Changed<()> {
        let Some(mut head) = self.running(id)?.filter(|it| it.run_id == run_id) else {
            return Ok(Err(Refused::Unknown(id.to_owned())));
        };
        self.drop_steps(id)?;
        let freed = head.steps_bytes;
        allowed!(self.grow(&mut head, freed, 0));
        (head.steps, head.steps_bytes) = (0, 0);
        (head.run_id, head.not_before_ms) = (next.to_owned(), not_before_ms);
        head.attempt += 1;
        self.put(id, &head)?;
        Ok(Ok(()))
    }

    /// Ends a run, and drops all but its head, its result and, where there is none, its steps if they are few. `false`
    /// where it has ended already.
    pub fn end(
        &mut self,
        id: &str,
        (status, reason): (Status, Option<String>),
        result: &[u8],
        now_ms: u64,
    ) -> Result<bool, redb::Error> {
        let Some(mut head) = self.running(id)? else {
            return Ok(false);
        };
        self.usage
            .remove(Kept::Runs, self.application, head.bytes)?;
        self.drop_signals(id)?;
        if status == Status::Completed || head.steps_bytes > limits::RUN_COURSE_BYTES_MAX {
            self.drop_steps(id)?;
            head.steps_bytes = 0;
        }
        head.bytes = weight(id.len() + head.workflow_type.len() + result.len()) + head.steps_bytes;
        (head.status, head.reason, head.ended_ms) = (status, reason, Some(now_ms));
        self.values.insert((self.application, id), result)?;
        self.put(id, &head)?;
        self.ended.insert((self.application, now_ms, id), ())?;
        self.usage
            .add(Kept::EndedRuns, self.application, head.bytes)?;
        self.make_room(id, now_ms)?;
        Ok(true)
    }

    /// Drops the runs that ended longest ago, down to what may be kept, and all that ended too long ago; never the one
    /// named.
    fn make_room(&mut self, but: &str, now_ms: u64) -> Result<(), redb::Error> {
        const KEPT_MS: u64 = limits::RUNS_ENDED_KEPT.as_millis() as u64;
        loop {
            let fits = self
                .usage
                .fits_all(Kept::EndedRuns, self.application, (0, 0))?;
            let next = after(self.application);
            let mut range = self
                .ended
                .range((self.application, 0, "")..(&*next, 0, ""))?;
            let oldest = range.next().transpose()?.map(|(key, _)| {
                let (_, at_ms, id) = key_of(&key);
                (at_ms, id)
            });
            drop(range);
            let goes = |at_ms: u64| fits.is_err() || at_ms.saturating_add(KEPT_MS) < now_ms;
            match oldest {
                Some((at_ms, id)) if id != but && goes(at_ms) => self.drop_ended(at_ms, &id)?,
                _ => return Ok(()),
            }
        }
    }

    fn drop_ended(&mut self, at_ms: u64, id: &str) -> Result<(), redb::Error> {
        self.ended.remove((self.application, at_ms, id))?;
        if let Some(head) = self.head(id)? {
            self.usage
                .remove(Kept::EndedRuns, self.application, head.bytes)?;
        }
        self.heads.remove((self.application, id))?;
        self.values.remove((self.application, id))?;
        self.drop_steps(id)
    }

    fn drop_steps(&mut self, id: &str) -> Result<(), redb::Error> {
        let range = (self.application, id, 0)..=(self.application, id, u64::MAX);
        Ok(self.steps.retain_in(range, |_, _| false)?)
    }

    fn drop_signals(&mut self, id: &str) -> Result<(), redb::Error> {
        let range = (self.application, id, 0)..=(self.application, id, u64::MAX);
        Ok(self.signals.retain_in(range, |_, _| false)?)
    }

    /// Weighs a run anew that has lost and won so many bytes.
    fn grow(&mut self, head: &mut Head, lost: u64, won: u64) -> Changed<()> {
        let before = head.bytes;
        head.bytes = (before + won).saturating_sub(lost);
        let fits = self
            .usage
            .fits(Kept::Runs, self.application, head.bytes, Some(before))?;
        if let Err(spent) = fits {
            return Ok(Err(spent.into()));
        }
        self.usage.remove(Kept::Runs, self.application, before)?;
        self.usage.add(Kept::Runs, self.application, head.bytes)?;
        Ok(Ok(()))
    }

    fn running(&self, id: &str) -> Result<Option<Head>, redb::Error> {
        let head = self.head(id)?;
        Ok(head.filter(|head| head.status == Status::Running))
    }

    fn head(&self, id: &str) -> Result<Option<Head>, redb::Error> {
        let found = self.heads.get((self.application, id))?;
        Ok(found.and_then(|row| Head::decode(row.value())))
    }

    fn put(&mut self, id: &str, head: &Head) -> Result<(), redb::Error> {
        self.heads.insert((self.application, id), &*head.encode())?;
        Ok(())
    }
}

/// Removes the runs of an application.
pub fn forget(transaction: &WriteTransaction, application: &str) -> Result<(), redb::Error> {
    let next = after(application);
    let two = || (application, "")..(&*next, "");
    let three = || (application, "", 0)..(&*next, "", 0);
    let mut rows = Rows::open(transaction, application)?;
    rows.heads.retain_in(two(), |_, _| false)?;
    rows.values.retain_in(two(), |_, _| false)?;
    rows.steps.retain_in(three(), |_, _| false)?;
    rows.signals.retain_in(three(), |_, _| false)?;
    let ended = (application, 0, "")..(&*next, 0, "");
    rows.ended.retain_in(ended, |_, ()| false)?;
    rows.usage.clear(Kept::Runs, application)?;
    rows.usage.clear(Kept::EndedRuns, application)
}

fn key_of(key: &redb::AccessGuard<'_, (&'static str, u64, &'static str)>) -> (String, u64, String) {
    let (application, at_ms, id) = key.value();
    (application.to_owned(), at_ms, id.to_owned())
}
