//! The wait of a reader or taker for a tuple: served in its turn, and over with whoever waits.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::Instant;

use super::interest::Key;
use super::space::Kept;
use super::tuple::Tuple;
use super::tuplespace::{State, TupleSpaces, Wish};
use crate::place::Place;
use crate::storage::TupleAt;

/// The wait of one reader or taker.
pub struct Waiting {
    pub(super) spaces: TupleSpaces,
    pub(super) place: Place,
    pub(super) wish: Wish,
    pub(super) number: u64,
    pub(super) key: Option<Key>,
    pub(super) arity: usize,
    pub(super) fetched: bool,
}

impl Future for Waiting {
    type Output = Tuple;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Tuple> {
        let wish = self.wish;
        self.poll_served(context, |state, place, kept| {
            if wish == Wish::Take {
                if let Some(space) = state.spaces.get_mut(place) {
                    space.forget(&kept);
                }
                state.does_not_end(&kept);
                state.tidy(place);
            }
            kept.tuple
        })
    }
}

impl Waiting {
    /// Fetches what was laid down for this waiter, if there is something.
    pub(super) fn poll_served<T>(
        &mut self,
        context: &Context<'_>,
        fetch: impl FnOnce(&mut State, &Place, Kept) -> T,
    ) -> Poll<T> {
        self.spaces.clone().with(|state| {
            let Some(kept) = state.desk.served.remove(&self.number) else {
                if let Some(space) = state.spaces.get_mut(&self.place) {
                    space.wake_by(self.number, self.arity, self.wish, context.waker());
                }
                return Poll::Pending;
            };
            self.fetched = true;
            Poll::Ready(fetch(state, &self.place, kept))
        })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.fetched {
            return;
        }
        self.spaces.with(|state| {
            let served = state.desk.served.remove(&self.number);
            if let Some(space) = state.spaces.get_mut(&self.place) {
                match served {
                    None => space.wait_no_more(self.number, self.key, self.arity, self.wish),
                    Some(_) if self.wish == Wish::Read => {}
                    Some(kept) if kept.is_over(Instant::now()) => {
                        space.forget(&kept);
                        let log = self.spaces.0.log.get();
                        if log.is_some_and(|log| log.keeps(&self.place)) {
                            state.over.push(TupleAt {
                                place: self.place.clone(),
                                number: kept.number,
                            });
                        }
                    }
                    Some(kept) => space.offer(kept, &mut state.desk),
                }
            }
            state.tidy(&self.place);
        });
    }
}
