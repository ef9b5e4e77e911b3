//! Process groups: each function, in the application's own place.

use crate::plexspaces::actor::messaging;
use crate::plexspaces::actor::process_groups::{
    create_group, delete_group, get_local_members, get_members, join_group, leave_group,
    list_groups, publish_to_group,
};
use crate::plexspaces::actor::types::{Context, ErrorCode};
use crate::report::{Report, own, word};

pub fn check(report: &mut Report) {
    a_group_is_made_and_deleted(report);
    whoever_joins_twice_leaves_twice(report);
    what_is_published_reaches_those_who_want_it(report);
    bad_arguments_are_refused(report);
}

fn a_group_is_made_and_deleted(report: &mut Report) {
    report.answers("no groups", list_groups(&own()), vec![]);
    report.answers("create-group", create_group(&own(), "g", ""), ());
    report.answers("create-group again", create_group(&own(), "g", ""), ());
    report.answers("list-groups", list_groups(&own()), vec!["g".to_owned()]);
    report.answers("nobody is in", get_members(&own(), "g"), vec![]);
    report.answers("delete-group", delete_group(&own(), "g"), ());
    report.refuses(
        "delete-group again",
        delete_group(&own(), "g"),
        ErrorCode::InvalidMessage,
    );
    report.answers("nobody is in what is not", get_members(&own(), "g"), vec![]);
}

fn whoever_joins_twice_leaves_twice(report: &mut Report) {
    let me = || vec![messaging::self_id()];
    report.answers("join-group", join_group(&own(), "j", "", &[]), ());
    report.answers("join-group again", join_group(&own(), "j", "", &[]), ());
    report.answers("get-members", get_members(&own(), "j"), me());
    report.answers("leave-group", leave_group(&own(), "j"), ());
    report.answers("get-local-members", get_local_members(&own(), "j"), me());
    report.answers("leave-group again", leave_group(&own(), "j"), ());
    report.refuses(
        "leave-group once more",
        leave_group(&own(), "j"),
        ErrorCode::InvalidMessage,
    );
    report.answers("it went with its last member", list_groups(&own()), vec![]);
}

fn what_is_published_reaches_those_who_want_it(report: &mut Report) {
    let me = || vec![messaging::self_id()];
    let publish = |topic: Option<&str>| publish_to_group(&own(), "p", topic, b"{\"n\":1}");
    report.answers("publish to nobody", publish(None), vec![]);
    let topics = ["red".to_owned(), "green".to_owned()];
    report.answers("join-group", join_group(&own(), "p", "", &topics), ());
    report.answers("publish", publish(None), me());
    report.answers("publish red", publish(Some("red")), me());
    report.answers("publish blue", publish(Some("blue")), vec![]);
    report.answers("join-group for all", join_group(&own(), "p", "", &[]), ());
    report.answers("publish blue now", publish(Some("blue")), me());
    report.answers("leave-group", leave_group(&own(), "p"), ());
    report.answers("publish blue again", publish(Some("blue")), vec![]);
    report.answers("leave-group again", leave_group(&own(), "p"), ());
}

fn bad_arguments_are_refused(report: &mut Report) {
    let long = "x".repeat(257);
    report.refuses(
        "no name",
        create_group(&own(), "", ""),
        ErrorCode::InvalidMessage,
    );
    report.refuses(
        "a long name",
        join_group(&own(), &long, "", &[]),
        ErrorCode::InvalidMessage,
    );
    let topics = [String::new()];
    report.refuses(
        "an empty topic",
        join_group(&own(), "b", "", &topics),
        ErrorCode::InvalidMessage,
    );
    let topics = vec!["t".to_owned(); 65];
    report.refuses(
        "65 topics",
        join_group(&own(), "b", "", &topics),
        ErrorCode::ResourceExhausted,
    );
    report.refuses(
        "a bad namespace",
        create_group(&own(), "b", "a/b"),
        ErrorCode::InvalidMessage,
    );
    let ctx = Context {
        tenant_id: String::new(),
        namespace: "one".to_owned(),
    };
    report.refuses(
        "two namespaces",
        create_group(&ctx, "b", "two"),
        ErrorCode::InvalidMessage,
    );
    report.answers("the same twice", create_group(&ctx, "b", "one"), ());
    report.answers("by its name alone", join_group(&own(), "b", "one", &[]), ());
    report.answers("leave it there", leave_group(&ctx, "b"), ());
    report.answers("delete it there", delete_group(&ctx, "b"), ());
}

/// Joins this group for all topics.
pub fn join(name: &str) -> Result<Vec<u8>, String> {
    join_group(&own(), name, "", &[]).map_err(|error| error.message)?;
    Ok(b"joined".to_vec())
}

/// What each function answers in another place.
pub fn reach(ctx: &Context) -> Vec<String> {
    vec![
        word(&create_group(ctx, "reach", "")),
        word(&join_group(ctx, "reach", "", &[])),
        word(&get_members(ctx, "reach")),
        word(&get_local_members(ctx, "reach")),
        word(&list_groups(ctx)),
        word(&publish_to_group(ctx, "reach", None, b"")),
        word(&leave_group(ctx, "reach")),
        word(&delete_group(ctx, "reach")),
    ]
}
