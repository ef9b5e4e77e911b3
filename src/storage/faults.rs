//! Tests on a disk that loses what was not synced, or fails when it is told to: nothing acknowledged is ever lost.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use redb::StorageBackend;

use super::committer::Committer;
use super::due::Due;
use super::journal::Journals;
use super::steady::Steady;
use super::store::{Store, tests::on};
use super::tuples::TupleRows;
use super::{Deployments, StorageError};

/// A disk in memory that remembers what is only in its cache.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<Platter>>);

#[derive(Debug, Default)]
pub struct Platter {
    synced: Vec<u8>,
    /// Writes since the last sync, in their order.
    cached: Vec<Write>,
    /// What the disk held at each sync, and what was in its cache.
    history: Vec<(Vec<u8>, Vec<Write>)>,
    /// Operations until the disk fails, and how.
    fails: Option<(usize, io::ErrorKind)>,
    /// Whether it is well again after that one operation.
    once: bool,
}

#[derive(Clone, Debug)]
pub enum Write {
    At(u64, Vec<u8>),
    Length(u64),
}

fn apply(bytes: &mut Vec<u8>, write: &Write) {
    match write {
        Write::Length(length) => bytes.resize(*length as usize, 0),
        Write::At(offset, data) => {
            let (from, to) = (*offset as usize, *offset as usize + data.len());
            bytes.resize(bytes.len().max(to), 0);
            bytes[from..to].copy_from_slice(data);
        }
    }
}

impl Platter {
    fn seen(&self) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        self.cached
            .iter()
            .for_each(|write| apply(&mut bytes, write));
        bytes
    }

    fn may_fail(&mut self) -> Result<(), io::Error> {
        match &mut self.fails {
            Some((0, kind)) => {
                let error = Err((*kind).into());
                if self.once {
                    self.fails = None;
                }
                error
            }
            Some((left, _)) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.0.lock().unwrap().seen().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let seen = self.0.lock().unwrap().seen();
        let from = offset as usize;
        let read = seen.get(from..from + out.len());
        out.copy_from_slice(read.ok_or(io::Error::from(io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> Result<(), io::Error> {
        let mut platter = self.0.lock().unwrap();
        platter.may_fail()?;
        platter.cached.push(Write::Length(length));
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut platter = self.0.lock().unwrap();
        platter.may_fail()?;
        platter.cached.push(Write::At(offset, data.to_owned()));
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let mut platter = self.0.lock().unwrap();
        platter.may_fail()?;
        let moment = (platter.synced.clone(), platter.cached.clone());
        platter.history.push(moment);
        platter.synced = platter.seen();
        platter.cached.clear();
        Ok(())
    }
}

impl Disk {
    /// A disk that holds just this.
    pub fn holding(bytes: Vec<u8>) -> Self {
        let disk = Self::default();
        disk.0.lock().unwrap().synced = bytes;
        disk
    }

    pub fn store(&self) -> Store {
        let disk = self.clone();
        on(move || disk.clone()).unwrap()
    }

    pub fn fail(&self, after: usize, kind: io::ErrorKind, once: bool) {
        let mut platter = self.0.lock().unwrap();
        platter.fails = Some((after, kind));
        platter.once = once;
    }

    pub fn heal(&self) {
        self.0.lock().unwrap().fails = None;
    }

    pub fn syncs(&self) -> usize {
        self.0.lock().unwrap().history.len()
    }

    /// What would be there after a power cut: without anything of the cache.
    pub fn synced(&self) -> Vec<u8> {
        self.0.lock().unwrap().synced.clone()
    }

    /// What the disk may hold after a power cut at its n-th sync: all of the cache is lost, none of it, and parts in
    /// which every second, third or fifth write arrived.
    pub fn after_a_cut_at(&self, sync: usize) -> Vec<Vec<u8>> {
        let platter = self.0.lock().unwrap();
        let (synced, cached) = &platter.history[sync];
        let kept = [0, 1, 2, 3, 5].into_iter().map(|keep| {
            let mut bytes = synced.clone();
            for (index, write) in cached.iter().enumerate() {
                if keep != 0 && index % keep == 0 {
                    apply(&mut bytes, write);
                }
            }
            bytes
        });
        kept.collect()
    }
}

type Records = BTreeMap<String, Vec<u8>>;

async fn records(store: Store) -> Records {
    let deployments = deployments_in(store);
    deployments.all().await.unwrap().into_iter().collect()
}

/// The scenario: deploys, changes and undeploys of five applications, with snapshots of a size that takes pages.
async fn step(deployments: &Deployments, at: usize) -> Result<(), StorageError> {
    let name = format!("application-{}", at % 5);
    match at % 7 {
        3 => deployments.remove(name).await,
        _ => {
            let left = vec![(format!("{name}@n"), vec![at as u8; 3_000].into())];
            let record = format!("record {at} {}", "x".repeat(at * 37));
            deployments.change(name, record.into_bytes(), left).await
        }
    }
}

fn expected(before: &Records, at: usize) -> Records {
    let (mut records, name) = (before.clone(), format!("application-{}", at % 5));
    match at % 7 {
        3 => drop(records.remove(&name)),
        _ => {
            let record = format!("record {at} {}", "x".repeat(at * 37));
            records.insert(name, record.into_bytes());
        }
    }
    records
}

const STEPS: usize = 30;

#[tokio::test]
async fn whatever_the_cache_loses_each_commit_is_whole_or_not_there() {
    let disk = Disk::default();
    let deployments = deployments_in(disk.store());
    // What must be there at each sync: everything answered before it; what may be: the step under way.
    let mut states = vec![Records::new()];
    let mut syncs = vec![disk.syncs()];
    for at in 0..STEPS {
        step(&deployments, at).await.unwrap();
        states.push(expected(states.last().unwrap(), at));
        syncs.push(disk.syncs());
    }
    for moment in syncs[0]..disk.syncs() {
        let answered = syncs.iter().filter(|&&sync| sync <= moment).count() - 1;
        let may_be = [&states[answered], &states[(answered + 1).min(STEPS)]];
        for bytes in disk.after_a_cut_at(moment) {
            let found = records(Disk::holding(bytes).store()).await;
            assert!(
                may_be.contains(&&found),
                "sync {moment}: {found:?} is neither of {may_be:?}"
            );
        }
    }
}

/// A disk that fails at its `after`th operation, in the second step of the scenario. Answers with what the step said,
/// what there was before it, and what there is once the disk is well again.
async fn failing(
    after: usize,
    kind: io::ErrorKind,
    once: bool,
) -> (Result<(), StorageError>, Records, Records) {
    let disk = Disk::default();
    let deployments = deployments_in(disk.store());
    step(&deployments, 0).await.unwrap();
    disk.fail(after, kind, once);
    let failed = step(&deployments, 1).await;
    disk.heal();
    let all = || async { deployments.all().await.unwrap().into_iter().collect() };
    let found: Records = all().await;
    step(&deployments, 2).await.unwrap();
    assert_eq!(all().await, expected(&found, 2), "it does not serve on");
    (failed, expected(&Records::new(), 0), found)
}

/// A commit takes fewer operations than that: the last rounds fail nowhere.
const OPERATIONS: usize = 40;

#[tokio::test]
async fn a_disk_that_fails_once_says_truly_what_it_holds() {
    for after in 0..OPERATIONS {
        let (failed, before, found) = failing(after, io::ErrorKind::Other, true).await;
        let there = failed.map_or_else(|_| before.clone(), |()| expected(&before, 1));
        assert_eq!(found, there, "after {after} operations");
    }
}

#[tokio::test]
async fn a_disk_that_goes_on_failing_leaves_nothing_half() {
    for after in 0..OPERATIONS {
        for kind in [
            io::ErrorKind::StorageFull,
            io::ErrorKind::ReadOnlyFilesystem,
        ] {
            let (failed, before, found) = failing(after, kind, false).await;
            match &failed {
                Ok(()) => assert_eq!(found, expected(&before, 1)),
                Err(StorageError::NoSpace(_) | StorageError::ReadOnly(_)) => {
                    assert!([&before, &expected(&before, 1)].contains(&&found));
                }
                Err(error) => panic!("{kind:?} after {after} operations: {error}"),
            }
        }
    }
}

#[tokio::test]
async fn those_who_wait_share_a_commit() {
    let disk = Disk::default();
    let deployments = deployments_in(disk.store());
    let before = disk.syncs();
    let puts: Vec<_> = (0..200)
        .map(|at| {
            let deployments = deployments.clone();
            let put = async move {
                let name = format!("application-{at}");
                deployments.put(name, b"record".to_vec()).await
            };
            tokio::spawn(put)
        })
        .collect();
    for put in puts {
        put.await.unwrap().unwrap();
    }
    assert_eq!(deployments.all().await.unwrap().len(), 200);
    let syncs = disk.syncs() - before;
    assert!(syncs < 100, "{syncs} syncs for 200 commits");
}

/// Rows of tuples on a disk.
pub fn tuple_rows(disk: &Disk) -> TupleRows {
    let committer = Committer::start(disk.store()).unwrap();
    TupleRows::new(committer, Due::new(Steady::begin(1_000_000, 0)))
}

fn deployments_in(store: Store) -> Deployments {
    let committer = Committer::start(store).unwrap();
    let journals = Journals::new(committer.clone(), committer.clone(), Vec::new());
    Deployments::new(committer, journals)
}
