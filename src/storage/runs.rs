//! The rows of workflows: a head for each run, its input, its steps and the signals it got, and what is left of it once it
//! has ended.

use bytes::Bytes;
use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::rows::{Stored, stored};
use super::store::there;
use super::usage::{Kept, Spent, Usage};
use crate::limits;
use crate::retry::Retry;

type Two = (&'static str, &'static str);
type Three = (&'static str, &'static str, u64);

/// Application and id to a status in one byte and the head.
pub const HEADS: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("runs");
/// Application and id to the input; once it has ended, to the result.
pub const VALUES: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("run-values");
/// Application, id and number to a step.
pub const STEPS: TableDefinition<(&str, &str, u64), &[u8]> = TableDefinition::new("run-steps");
/// Application, id and number to a signal.
pub const SIGNALS: TableDefinition<(&str, &str, u64), &[u8]> = TableDefinition::new("run-signals");
/// Application, time and id of each run that has ended.
pub const ENDED: TableDefinition<(&str, u64, &str), ()> = TableDefinition::new("runs-ended");

pub fn tables() -> Vec<Box<dyn Stored>> {
    vec![
        stored(HEADS),
        stored(VALUES),
        stored(STEPS),
        stored(SIGNALS),
        stored(ENDED),
    ]
}

/// What a run, a step or a signal weighs beside its own bytes.
const BOOKKEEPING_BYTES: usize = 128;

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    Running,
    Completed,
    Failed,
    Cancelled,
    TimedOut,
}

/// One run, without its input, steps, signals and result. Times are the store's, in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    pub run_id: String,
    pub workflow_type: String,
    pub status: Status,
    pub started_ms: u64,
    pub ended_ms: Option<u64>,
    /// When it ends, whatever it does.
    pub deadline_ms: Option<u64>,
    pub retry: Retry,
    /// How often it was begun, and when it may begin.
    pub attempt: u32,
    pub not_before_ms: u64,
    pub task_queue: Option<String>,
    pub steps: u64,
    pub signals: u64,
    steps_bytes: u64,
    signals_bytes: u64,
    /// What it weighs in all.
    bytes: u64,
    /// Activities whose effect may have come twice, the first ones of them.
    pub possibly_repeated: Vec<String>,
    /// Why it has failed, or was ended.
    pub reason: Option<String>,
}

/// What a run did at one place of its course.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub kind: StepKind,
    pub name: String,
    /// Attempts that were begun, and whether the last one is under way.
    pub attempts: u32,
    pub under_way: bool,
    /// When a sleep ends, or the next attempt begins.
    pub due_ms: u64,
    /// When there are no more attempts.
    pub until_ms: Option<u64>,
    /// An attempt may have had its effect and yet been followed by another.
    pub possibly_repeated: bool,
    pub outcome: Option<Outcome>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    Activity,
    Sleep,
    Start,
    Signal,
    Query,
    Await,
    SideEffect,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Its value lies beside it.
    Done,
    Failed {
        code: String,
        text: String,
    },
}

/// A step at its place, with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub number: u64,
    pub step: Step,
    pub value: Bytes,
}

/// A step that a run takes, or goes on with.
#[derive(Clone, Debug)]
pub struct Record {
    pub id: String,
    pub run_id: String,
    pub taken: Taken,
}

/// Why a change of a run is not made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("there is a workflow {id:?} already, and it is {}; choose another id", .status.in_words())]
    There { id: String, status: Status },
    #[error("no workflow {0:?} in this application")]
    Unknown(String),
    #[error("application {0} is not deployed any more: it starts no workflows; deploy it again")]
    Leaving(String),
    #[error("workflow {id:?} has ended: it is {}", .status.in_words())]
    Over { id: String, status: Status },
    #[error("a workflow takes at most {max} steps, or {mib} MiB of them; let it start others for parts of its work",
        max = limits::RUN_STEPS_MAX, mib = limits::RUN_STEPS_BYTES_MAX >> 20)]
    Steps,
    #[error("a workflow gets at most {max} signals, or {mib} MiB of them",
        max = limits::RUN_SIGNALS_MAX, mib = limits::RUN_SIGNALS_BYTES_MAX >> 20)]
    Signals,
    #[error(transparent)]
    Spent(#[from] Spent),
}

impl Status {
    pub const ALL: [Self; 5] = [
        Self::Running,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::TimedOut,
    ];

    pub fn in_words(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed out",
        }
    }

    fn of(row: &[u8]) -> Self {
        let number = row.first().copied().unwrap_or_default();
        Self::ALL
            .get(usize::from(number))
            .copied()
            .unwrap_or(Self::Failed)
    }
}

impl Head {
    pub fn new(run_id: String, workflow_type: String, started_ms: u64, retry: Retry) -> Self {
        Self {
            run_id,
            workflow_type,
            status: Status::Running,
            started_ms,
            ended_ms: None,
            deadline_ms: None,
            retry,
            attempt: 1,
            not_before_ms: 0,
            task_queue: None,
            steps: 0,
            signals: 0,
            steps_bytes: 0,
            signals_bytes: 0,
            bytes: 0,
            possibly_repeated: Vec::new(),
            reason: None,
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut row = vec![self.status as u8];
        serde_json::to_writer(&mut row, self).expect("a head is names, numbers and texts");
        row
    }

    pub fn decode(row: &[u8]) -> Option<Self> {
        serde_json::from_slice(row.get(1..)?).ok()
    }

    /// Of a row that a backup has, whose two words on the status agree.
    pub fn checked(row: &[u8]) -> Option<Self> {
        Self::decode(row).filter(|head| row.first() == Some(&(head.status as u8)))
    }

    /// What its steps, its signals and all of it weigh.
    pub fn weighs(&self) -> (u64, u64, u64) {
        (self.steps_bytes, self.signals_bytes, self.bytes)
    }
}

impl Step {
    pub fn new(kind: StepKind, name: &str) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            attempts: 0,
            under_way: false,
            due_ms: 0,
            until_ms: None,
            possibly_repeated: false,
            outcome: None,
        }
    }
}

impl Taken {
    /// The step's length as four bytes, little-endian; the step, the value.
    fn encode(&self) -> Vec<u8> {
        let step = serde_json::to_vec(&self.step).expect("a step is names, numbers and texts");
        let len = u32::try_from(step.len()).expect("steps are short");
        let mut row = len.to_le_bytes().to_vec();
        row.extend_from_slice(&step);
        row.extend_from_slice(&self.value);
        row
    }

    pub fn decode(number: u64, row: &[u8]) -> Option<Self> {
        let (step, value) = parts(row)?;
        Some(Self {
            number,
            step: serde_json::from_slice(step).ok()?,
            value: Bytes::copy_from_slice(value),
        })
    }
}

/// What `encode` put together.
pub fn parts(row: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = row.split_first_chunk()?;
    rest.split_at_checked(u32::from_le_bytes(*len) as usize)
}

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
        self.drop_rows(id, false)?;
        let freed = head.steps_bytes;
        allowed!(self.grow(&mut head, freed, 0));
        (head.steps, head.steps_bytes) = (0, 0);
        (head.run_id, head.not_before_ms) = (next.to_owned(), not_before_ms);
        head.attempt += 1;
        self.put(id, &head)?;
        Ok(Ok(()))
    }

    /// Ends a run, and drops all but its head and its result. `false` where it has ended already.
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
        self.drop_rows(id, true)?;
        head.bytes = weight(id.len() + head.workflow_type.len() + result.len());
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
        Ok(())
    }

    fn drop_rows(&mut self, id: &str, signals_too: bool) -> Result<(), redb::Error> {
        let range = || (self.application, id, 0)..=(self.application, id, u64::MAX);
        self.steps.retain_in(range(), |_, _| false)?;
        if signals_too {
            self.signals.retain_in(range(), |_, _| false)?;
        }
        Ok(())
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

/// A run with its application and id, and its input or result.
pub type Found = (Head, Bytes);
/// Application, id and head.
pub type Listed = (String, String, Head);

pub fn find(
    transaction: &ReadTransaction,
    application: &str,
    id: &str,
) -> Result<Option<Found>, redb::Error> {
    let (Some(heads), Some(values)) = (
        there(transaction.open_table(HEADS))?,
        there(transaction.open_table(VALUES))?,
    ) else {
        return Ok(None);
    };
    let head = heads
        .get((application, id))?
        .and_then(|row| Head::decode(row.value()));
    let value = values.get((application, id))?;
    let value = value.map_or(Bytes::new(), |row| Bytes::copy_from_slice(row.value()));
    Ok(head.map(|head| (head, value)))
}

/// Those that have not ended.
pub fn running(transaction: &ReadTransaction) -> Result<Vec<Listed>, redb::Error> {
    let wanted = Wanted {
        status: Some(Status::Running),
        ..Wanted::default()
    };
    Ok(list(transaction, &wanted)?.0)
}

/// Which runs of a list are wanted. Without `limit` all are.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub application: Option<String>,
    pub status: Option<Status>,
    pub offset: usize,
    pub limit: Option<usize>,
}

/// The wanted runs by application and id, and how many there are in all.
pub fn list(
    transaction: &ReadTransaction,
    wanted: &Wanted,
) -> Result<(Vec<Listed>, usize), redb::Error> {
    let (mut listed, mut total) = (Vec::new(), 0);
    let Some(heads) = there(transaction.open_table(HEADS))? else {
        return Ok((listed, total));
    };
    for row in heads.range((wanted.application.as_deref().unwrap_or(""), "")..)? {
        let (key, row) = row?;
        let (application, id) = key.value();
        if wanted
            .application
            .as_ref()
            .is_some_and(|it| it != application)
        {
            break;
        }
        if wanted
            .status
            .is_some_and(|it| it != Status::of(row.value()))
        {
            continue;
        }
        total += 1;
        let has_room = wanted.limit.is_none_or(|limit| listed.len() < limit);
        if total > wanted.offset && has_room {
            let head = Head::decode(row.value());
            listed.extend(head.map(|head| (application.to_owned(), id.to_owned(), head)));
        }
    }
    Ok((listed, total))
}

/// How many runs there are of each status.
pub fn count(transaction: &ReadTransaction) -> Result<[u64; Status::ALL.len()], redb::Error> {
    let mut counted = [0; Status::ALL.len()];
    if let Some(heads) = there(transaction.open_table(HEADS))? {
        for row in heads.iter()? {
            counted[Status::of(row?.1.value()) as usize] += 1;
        }
    }
    Ok(counted)
}

/// As many steps from a number on as fit, at least one where there is one.
pub fn steps(
    transaction: &ReadTransaction,
    application: &str,
    id: &str,
    from: u64,
    (limit, bytes_max): (usize, usize),
) -> Result<Vec<Taken>, redb::Error> {
    let (mut steps, mut bytes) = (Vec::new(), 0);
    let Some(table) = there(transaction.open_table(STEPS))? else {
        return Ok(steps);
    };
    let range = (application, id, from)..=(application, id, u64::MAX);
    for row in table.range(range)?.take(limit) {
        let (key, row) = row?;
        bytes += row.value().len();
        if bytes > bytes_max && !steps.is_empty() {
            break;
        }
        steps.extend(Taken::decode(key.value().2, row.value()));
    }
    Ok(steps)
}

pub fn signal(
    transaction: &ReadTransaction,
    application: &str,
    id: &str,
    number: u64,
) -> Result<Option<(String, Bytes)>, redb::Error> {
    let Some(table) = there(transaction.open_table(SIGNALS))? else {
        return Ok(None);
    };
    let row = table.get((application, id, number))?;
    Ok(row.and_then(|row| {
        let (name, payload) = parts(row.value())?;
        let name = String::from_utf8_lossy(name).into_owned();
        Some((name, Bytes::copy_from_slice(payload)))
    }))
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

/// The applications that have runs, ended ones too.
pub fn applications(transaction: &ReadTransaction) -> Result<Vec<String>, redb::Error> {
    let mut found: Vec<String> = Vec::new();
    let Some(heads) = there(transaction.open_table(HEADS))? else {
        return Ok(found);
    };
    let mut from = String::new();
    while let Some(row) = heads.range((&*from, "")..)?.next() {
        let application = row?.0.value().0.to_owned();
        from = after(&application);
        found.push(application);
    }
    Ok(found)
}

fn key_of(key: &redb::AccessGuard<'_, (&'static str, u64, &'static str)>) -> (String, u64, String) {
    let (application, at_ms, id) = key.value();
    (application.to_owned(), at_ms, id.to_owned())
}

/// The first text behind this one.
fn after(text: &str) -> String {
    format!("{text}\0")
}

pub fn weight(bytes: usize) -> u64 {
    (BOOKKEEPING_BYTES + bytes) as u64
}
