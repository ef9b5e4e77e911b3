//! How late a 1 ms timer on the node's loop fires: at rest, beside spinning guests, and while a module compiles.
//!
//! `cargo bench --bench preemption`; prints a table, the medians and the worst of each stage.

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use plexspaces_node::config::{DataDir, DrainTime, Written};
use plexspaces_node::{node, wasm::compile};

const PERIOD: Duration = Duration::from_millis(1);
const STAGE: Duration = Duration::from_secs(3);
const STAGES: [&str; 4] = [
    "at rest",
    "one spinning guest",
    "five spinning guests",
    "compiling Python",
];
/// Between stages nothing is measured.
const BETWEEN: usize = STAGES.len();
const PYTHON: &str = "examples/simple/wasm_calculator/wasm-modules/calculator_actor.wasm";

/// What the probe has measured, stage by stage.
type Delays = Arc<[Mutex<Vec<Duration>>; STAGES.len()]>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments
        .first()
        .is_some_and(|first| first == compile::ARGUMENT)
    {
        return compile::child(&arguments[1..]);
    }
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let config = Written {
        listen_addr: Some(format!("127.0.0.1:{port}").parse().unwrap()),
        data_dir: Some(DataDir(dir.path().to_owned())),
        drain_time: Some(DrainTime(Duration::ZERO)),
        ..Written::default()
    };
    let config = config.check().unwrap();
    let delays = Delays::default();
    let stage = Arc::new(AtomicUsize::new(0));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let driver = thread::spawn({
        let stage = stage.clone();
        move || {
            drive(&format!("http://127.0.0.1:{}", port + 1), &stage);
            let _ = stop.send(());
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let probe = tokio::spawn(probe(stage, delays.clone()));
        let stop = async {
            let _ = stopped.await;
            probe.abort();
        };
        node::run(config, stop).await.unwrap();
    });
    driver.join().unwrap();
    report(&delays);
    ExitCode::SUCCESS
}

async fn probe(stage: Arc<AtomicUsize>, delays: Delays) {
    loop {
        let began = Instant::now();
        tokio::time::sleep(PERIOD).await;
        let late = began.elapsed().saturating_sub(PERIOD);
        if let Some(delays) = delays.get(stage.load(SeqCst)) {
            delays.lock().unwrap().push(late);
        }
    }
}

fn drive(url: &str, stage: &AtomicUsize) {
    while ureq::get(format!("{url}/health")).call().is_err() {
        thread::yield_now();
    }
    thread::sleep(STAGE);
    let spinner = wat::parse_str(
        r#"(module (memory (export "memory") 1)
            (func (export "handle_request") (param i32 i32 i32 i32 i32 i32) (loop $l (br $l))))"#,
    );
    let spinner = spinner.unwrap();
    stage.store(BETWEEN, SeqCst);
    let names = ["one", "two", "three", "four", "five"];
    names.iter().for_each(|name| deploy(url, name, &spinner));
    for (number, spinning) in [(1, &names[..1]), (2, &names[1..])] {
        stage.store(BETWEEN, SeqCst);
        for name in spinning {
            let ask = ureq::post(format!("{url}/api/v1/actors/{name}/{name}"))
                .header("x-timeout-ms", "1");
            let _ = ask.send_empty();
        }
        stage.store(number, SeqCst);
        thread::sleep(STAGE);
    }
    stage.store(BETWEEN, SeqCst);
    for name in names {
        ureq::delete(format!("{url}/api/v1/applications/{name}"))
            .call()
            .unwrap();
    }
    if let Ok(python) = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(PYTHON)) {
        stage.store(3, SeqCst);
        deploy(url, "calculator", &python);
    }
}

fn deploy(url: &str, name: &str, wasm: &[u8]) {
    let mut body = Vec::new();
    for (field, value) in [("application_id", name), ("name", name), ("version", "1")] {
        body.extend(
            format!("--b\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n")
                .bytes(),
        );
    }
    body.extend(
        b"--b\r\nContent-Disposition: form-data; name=\"wasm_file\"; filename=\"m\"\r\n\r\n",
    );
    body.extend([wasm, b"\r\n--b--\r\n"].concat());
    let deploy = ureq::post(format!("{url}/api/v1/applications/deploy"));
    deploy
        .header("content-type", "multipart/form-data; boundary=b")
        .send(&body[..])
        .unwrap();
}

fn report(delays: &Delays) {
    println!(
        "{:<22} {:>8} {:>10} {:>10} {:>10}",
        "lateness, ms", "timers", "median", "99.9 %", "worst"
    );
    for (name, delays) in STAGES.iter().zip(delays.iter()) {
        let mut delays = delays.lock().unwrap();
        delays.sort();
        if delays.is_empty() {
            println!("{name:<22} not measured");
            continue;
        }
        let ms =
            |share: f64| delays[((delays.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        println!(
            "{name:<22} {:>8} {:>10.2} {:>10.2} {:>10.2}",
            delays.len(),
            ms(0.5),
            ms(0.999),
            ms(1.0)
        );
    }
}

/// A port that is free together with the next one.
fn free_port() -> u16 {
    loop {
        let first = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        if port < u16::MAX && std::net::TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
}
