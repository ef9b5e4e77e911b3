//! Which part of a list is wanted, and which came.

use super::proto::common::{PageRequest, PageResponse};
use crate::limits;
use crate::refusal::{Kind, Refusal};

/// The wanted items of `all`, and where they stand among them. A limit out of bounds is brought within them.
pub fn cut<T>(
    request: Option<PageRequest>,
    all: Vec<T>,
) -> Result<(Vec<T>, PageResponse), Refusal> {
    let request = request.unwrap_or_default();
    let malformed = |text: &str| Refusal::new(Kind::Malformed, text);
    if !request.filter.is_empty() || !request.order_by.is_empty() {
        return Err(malformed(
            "page_request.filter and order_by are not supported by this node; leave them out",
        ));
    }
    let offset: usize = request
        .offset
        .try_into()
        .map_err(|_| malformed("page_request.offset is below 0; a list begins at 0"))?;
    let limit = match request.limit {
        0 => limits::PAGE_ITEMS_DEFAULT,
        limit => limit.clamp(1, limits::PAGE_ITEMS_MAX as i32) as usize,
    };
    let total = all.len();
    let items: Vec<T> = all.into_iter().skip(offset).take(limit).collect();
    let page = PageResponse {
        total_size: total as i32,
        offset: request.offset,
        limit: limit as i32,
        has_next: !items.is_empty() && offset + items.len() < total,
    };
    Ok((items, page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_lies_within_its_list() {
        let check = |offset, limit, expected: Option<(usize, bool)>| {
            let request = PageRequest {
                offset,
                limit,
                ..Default::default()
            };
            let cut = cut(Some(request), (0..120).collect()).ok();
            let shown = cut.map(|(items, page)| (items.len(), page.has_next));
            assert_eq!(shown, expected, "{offset} {limit}");
        };
        check(0, 0, Some((50, true)));
        check(100, 0, Some((20, false)));
        check(0, 5_000, Some((120, false)));
        check(0, -3, Some((1, true)));
        check(500, 10, Some((0, false)));
        check(-1, 10, None);
    }
}
