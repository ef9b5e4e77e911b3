//! The registry: each function, in the application's own place, and what the node lists there itself.

use crate::plexspaces::actor::messaging::self_id;
use crate::plexspaces::actor::registry::{
    HealthStatus, Label, ObjectRegistration, ObjectType, discover, heartbeat, lookup, register,
    unregister,
};
use crate::plexspaces::actor::types::{ActorError, Context, ErrorCode};
use crate::report::{Report, own, word};

fn enter(ctx: &Context, id: &str, category: &str, can: &str, site: &str) -> Result<(), ActorError> {
    let labels = [Label { key: "site".to_owned(), value: site.to_owned() }];
    let can = [can.to_owned()];
    register(ctx, id, ObjectType::Service, "10.0.0.7:8000", Some(category), &can, &labels)
}

fn ids(found: Result<Vec<ObjectRegistration>, ActorError>) -> Result<Vec<String>, ActorError> {
    found.map(|entries| entries.into_iter().map(|it| it.object_id).collect())
}

pub fn check(report: &mut Report) {
    let service = ObjectType::Service;
    report.answers("lookup of nothing", lookup(&own(), service, "a").map(|it| it.is_none()), true);
    report.answers("register", enter(&own(), "a", "camera", "zoom", "north"), ());
    report.answers("register another", enter(&own(), "b", "camera", "pan", "south"), ());
    let found = lookup(&own(), service, "a");
    let so = matches!(&found, Ok(Some(it)) if it.object_id == "a"
        && it.object_type == service
        && it.grpc_address == "10.0.0.7:8000"
        && it.object_category == "camera"
        && it.capabilities == ["zoom"]
        && it.labels.len() == 1
        && it.health_status == HealthStatus::Healthy
        && it.created_at > 1_500_000_000_000
        && it.updated_at == it.created_at
        && it.last_heartbeat.is_none());
    report.holds("lookup", so, found);
    report.answers("heartbeat", heartbeat(&own(), service, "a"), ());
    let beat = lookup(&own(), service, "a").map(|it| it.and_then(|it| it.last_heartbeat));
    report.answers("a heartbeat is seen", beat.map(|it| it.is_some()), true);
    report.answers("register again", enter(&own(), "a", "camera", "zoom", "east"), ());
    filters(report);
    lists_itself(report);
    report.answers("unregister", unregister(&own(), service, "a"), ());
    report.answers("unregister the other", unregister(&own(), service, "b"), ());
    report.refuses("unregister again", unregister(&own(), service, "a"), ErrorCode::InvalidMessage);
    report.refuses("heartbeat of nothing", heartbeat(&own(), service, "a"), ErrorCode::InvalidMessage);
    let other_type = heartbeat(&own(), ObjectType::Vm, "b");
    report.refuses("heartbeat of another type", other_type, ErrorCode::InvalidMessage);
    bad_arguments_are_refused(report);
}

fn filters(report: &mut Report) {
    let service = Some(ObjectType::Service);
    let texts = |texts: &[&str]| texts.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let find = |category, can: &[&str], labels: &[&str], health| {
        ids(discover(&own(), service, category, &texts(can), &texts(labels), health, 0, 0))
    };
    report.answers("discover", find(None, &[], &[], None), texts(&["a", "b"]));
    report.answers("by category", find(Some("camera"), &[], &[], None), texts(&["a", "b"]));
    report.answers("by another category", find(Some("x"), &[], &[], None), texts(&[]));
    report.answers("by capability", find(None, &["pan"], &[], None), texts(&["b"]));
    report.answers("by two capabilities", find(None, &["pan", "zoom"], &[], None), texts(&[]));
    report.answers("by label", find(None, &[], &["site"], None), texts(&["a", "b"]));
    report.answers("by its value", find(None, &[], &["site=east"], None), texts(&["a"]));
    report.answers("by no such label", find(None, &[], &["rack"], None), texts(&[]));
    let healthy = Some(HealthStatus::Healthy);
    report.answers("by health", find(None, &[], &[], healthy), texts(&["a", "b"]));
    let unhealthy = Some(HealthStatus::Unhealthy);
    report.answers("by ill health", find(None, &[], &[], unhealthy), texts(&[]));
    let part = |offset, limit| ids(discover(&own(), service, None, &[], &[], None, offset, limit));
    report.answers("a limit", part(0, 1), texts(&["a"]));
    report.answers("an offset", part(1, 0), texts(&["b"]));
    report.answers("past the end", part(7, 1), texts(&[]));
    let all = ids(discover(&own(), None, None, &[], &[], None, 0, 0));
    let so = all.as_ref().is_ok_and(|ids| ids.len() >= 5);
    report.holds("of every type", so, all);
}

fn lists_itself(report: &mut Report) {
    let of = |object_type| discover(&own(), Some(object_type), None, &[], &[], None, 0, 0);
    for object_type in [ObjectType::Application, ObjectType::Actor, ObjectType::Node] {
        let listed = of(object_type);
        let so = matches!(&listed, Ok(entries) if entries.len() == 1
            && entries[0].health_status == HealthStatus::Healthy
            && entries[0].grpc_address.contains(':'));
        report.holds("what the node lists", so, listed);
    }
    let me = self_id();
    let found = lookup(&own(), ObjectType::Actor, &me).map(|it| it.is_some());
    report.answers("the actor itself", found, true);
    let mine = register(&own(), &me, ObjectType::Actor, "", None, &[], &[]);
    report.refuses("what the node lists", mine, ErrorCode::NotPermitted);
}

fn bad_arguments_are_refused(report: &mut Report) {
    let long = "x".repeat(257);
    for id in ["", long.as_str()] {
        let entered = enter(&own(), id, "c", "d", "e");
        report.refuses("a bad id", entered, ErrorCode::InvalidMessage);
    }
    let texts: [(&str, &str, &str); 3] = [(&long, "", ""), ("", &long, ""), ("", "", &long)];
    for (category, can, site) in texts {
        let entered = enter(&own(), "a", category, can, site);
        report.refuses("a long text", entered, ErrorCode::InvalidMessage);
    }
    let many = vec![String::from("x"); 65];
    let entered = register(&own(), "a", ObjectType::Vm, "", None, &many, &[]);
    report.refuses("too many capabilities", entered, ErrorCode::InvalidMessage);
    let none = lookup(&own(), ObjectType::Vm, "a").map(|it| it.is_none());
    report.answers("nothing was entered", none, true);
}

/// What a place that may be another's answers; it leaves nothing there.
pub fn reach(ctx: &Context) -> Vec<String> {
    vec![
        word(&enter(ctx, "r", "c", "d", "e")),
        word(&lookup(ctx, ObjectType::Service, "r")),
        word(&discover(ctx, None, None, &[], &[], None, 0, 0)),
        word(&heartbeat(ctx, ObjectType::Service, "r")),
        word(&unregister(ctx, ObjectType::Service, "r")),
    ]
}
