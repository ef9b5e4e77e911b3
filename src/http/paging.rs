//! Which part of a list is wanted, by `offset` and `limit` in the query.

use std::ops::RangeInclusive;

use super::api::Page;
use crate::limits;
use crate::refusal::{Kind, Refusal};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paging {
    pub offset: usize,
    /// Brought within its bounds already.
    pub limit: usize,
}

const LIMITS: RangeInclusive<usize> = 1..=limits::PAGE_ITEMS_MAX;

impl Paging {
    /// What the query asks for; other keys are not looked at. A limit out of bounds is brought within them.
    pub fn of(query: Option<&str>) -> Result<Self, Refusal> {
        let mut paging = Self {
            offset: 0,
            limit: limits::PAGE_ITEMS_DEFAULT,
        };
        for pair in query.unwrap_or_default().split('&') {
            match pair.split_once('=').unwrap_or((pair, "")) {
                ("offset", text) => paging.offset = whole("offset", text)?,
                ("limit", text) => {
                    paging.limit = whole("limit", text)?.clamp(*LIMITS.start(), *LIMITS.end());
                }
                _ => {}
            }
        }
        Ok(paging)
    }

    /// The same of a list that comes whole unless the query asks for a part of it.
    pub fn asked(query: Option<&str>) -> Result<Option<Self>, Refusal> {
        let mut pairs = query.unwrap_or_default().split('&');
        let asks = pairs.any(|pair| matches!(pair.split('=').next(), Some("offset" | "limit")));
        asks.then(|| Self::of(query)).transpose()
    }

    /// The wanted items of `all`, and where they stand among them.
    pub fn cut<T>(self, all: Vec<T>) -> (Vec<T>, Page) {
        let total_size = all.len();
        let items: Vec<T> = all.into_iter().skip(self.offset).take(self.limit).collect();
        let page = self.page(items.len(), total_size);
        (items, page)
    }

    /// Where so many items stand among all.
    pub fn page(self, items: usize, total_size: usize) -> Page {
        Page {
            total_size,
            offset: self.offset,
            limit: self.limit,
            has_next: self.offset.saturating_add(items) < total_size && items > 0,
        }
    }
}

fn whole(key: &str, text: &str) -> Result<usize, Refusal> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = digits.then(|| text.parse().ok()).flatten();
    parsed.ok_or_else(|| {
        let shown: String = text.chars().take(32).collect();
        let text = format!(
            "{key} is {shown:?}, which is no whole number from 0; a list takes ?offset=0&limit={} with at most {} items",
            limits::PAGE_ITEMS_DEFAULT,
            limits::PAGE_ITEMS_MAX
        );
        Refusal::new(Kind::Malformed, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_which_part_is_wanted() {
        let check = |query: &str, expected: Option<(usize, usize)>| {
            let parsed = Paging::of(Some(query)).ok();
            assert_eq!(parsed.map(|it| (it.offset, it.limit)), expected, "{query}");
        };
        check("", Some((0, 50)));
        check("offset=7&limit=3", Some((7, 3)));
        check("x=y&limit=0", Some((0, 1)));
        check("limit=1001", Some((0, 1000)));
        for bad in [
            "limit",
            "limit=",
            "limit=-1",
            "limit=+1",
            "offset=1.5",
            "offset=all",
            "offset=99999999999999999999",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn a_list_comes_whole_unless_a_part_is_asked_for() {
        let check = |query: Option<&str>, asked: bool| {
            assert_eq!(Paging::asked(query).unwrap().is_some(), asked, "{query:?}");
        };
        check(None, false);
        check(Some(""), false);
        check(Some("x=limit&offsets=1"), false);
        check(Some("x=y&limit=1"), true);
        check(Some("offset=0"), true);
        assert!(Paging::asked(Some("limit")).is_err());
    }

    #[test]
    fn a_page_knows_whether_there_is_another() {
        let check = |offset, limit, items: &[i32], has_next| {
            let (cut, page) = Paging { offset, limit }.cut(vec![1, 2, 3]);
            assert_eq!((cut.as_slice(), page.has_next), (items, has_next));
            assert_eq!(
                (page.total_size, page.offset, page.limit),
                (3, offset, limit)
            );
        };
        check(0, 2, &[1, 2], true);
        check(1, 2, &[2, 3], false);
        check(0, 3, &[1, 2, 3], false);
        check(3, 2, &[], false);
        check(usize::MAX, 2, &[], false);
    }
}
