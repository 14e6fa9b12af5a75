//! Generations go from one thread to the other, many times over, while their functions run and while the watch looks
//! on. It runs without a server, so that a sanitizer can look at the whole of it: `make sanitize`.
//!
//! `ROUNDS` is the number of flushes of each test.

use std::ffi::CStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, unbounded};
use shadow::deployment::{Deployment, LogLines, Sources, Texts};
use shadow::engine::{CallMode, Callable, Caller, Dialect, Host, Item, Sink, Tick};
use shadow::generation::{Functions, Scripts};
use shadow::reclaim::{Depot, Reclaim, Task};
use shadow::registry::Origin;
use shadow::watch::Watch;

const DEFAULT_ROUNDS: usize = 200;

fn rounds() -> usize {
    let text = std::env::var("ROUNDS").ok().filter(|text| !text.is_empty());
    text.map_or(DEFAULT_ROUNDS, |text| text.parse().unwrap_or_else(|_| panic!("ROUNDS is no number: {text}")))
}

fn generation() -> Option<Functions> {
    Functions::new(Dialect::default()).ok()
}

/// A server that ends every call that it is asked about, or lets it be.
enum Server {
    Impatient,
    Patient,
}

impl Host for Server {
    fn call(&mut self, _: &CStr, _: &[&[u8]], _: CallMode, _: Caller) -> &[u8] {
        b"$5\r\nvalue\r\n"
    }
    fn tick(&mut self) -> Tick {
        match self {
            Self::Impatient => Tick::Kill("ERR ended"),
            Self::Patient => Tick::Silence,
        }
    }
}

/// Takes any reply, and counts its values.
#[derive(Default)]
struct Count(usize);

impl Sink for Count {
    fn put(&mut self, _: Item<'_>) {
        self.0 += 1;
    }
}

/// A library.
fn source(number: usize) -> String {
    format!(
        "#!lua name=l{number}
local kept = {{}}
redis.register_function('f{number}', function(KEYS, ARGV)
    kept[#kept + 1] = redis.call('GET', KEYS[1]) .. {number}
    return {{kept, cjson.decode('[1,2]'), ARGV[1]}}
end)
redis.register_function('spin{number}', function() while true do pcall(function() while true do end end) end end)"
    )
}

/// The current generation, the worker and the watch, as the server's thread has them.
struct Main {
    current: Box<Functions>,
    depot: Arc<Depot<Functions>>,
    reclaim: Reclaim,
    watch: Watch,
    retired: u64,
    in_place: u64,
}

impl Main {
    fn start(capacity: usize) -> Self {
        let current = Box::new(generation().expect("a VM"));
        let watch = Watch::start().expect("a thread");
        watch.set_alarm(Callable::Function, Some(current.alarm()));
        let depot = Depot::new(generation);
        let reclaim = Reclaim::start(capacity, vec![depot.clone()]).expect("a thread");
        Self { current, depot, reclaim, watch, retired: 0, in_place: 0 }
    }

    fn load(&mut self, number: usize) {
        let code = source(number);
        self.current.load(code.as_bytes(), true, None, &mut Server::Patient).expect("it is right");
    }

    /// Calls a function under the watch; whether it came to its end.
    fn call(&mut self, function: &str, mut server: Server) -> bool {
        let found = self.current.registry().function(function.as_bytes()).expect("it is loaded");
        let one = [b"word".as_slice()];
        let mut reply = Count::default();
        self.watch.begin(Callable::Function);
        let called = self.current.call(found, one.into_iter(), one.into_iter(), &mut server, &mut reply);
        self.watch.end();
        assert_eq!(called.is_ok(), reply.0 > 0);
        called.is_ok()
    }

    /// A flush, as the server's layer does it.
    fn flush(&mut self) {
        let next = self.depot.take_spare().unwrap_or_else(|| Box::new(generation().expect("a VM")));
        self.put_in_place(next);
    }

    /// The same with what was built.
    fn put_in_place(&mut self, next: Box<Functions>) {
        self.watch.set_alarm(Callable::Function, Some(next.alarm()));
        let libraries = self.current.registry().library_count() as u64;
        let old = std::mem::replace(&mut self.current, next);
        match self.reclaim.hand_over(vec![old], &self.depot) {
            Ok(()) => self.retired += libraries,
            Err(old) => {
                drop(old);
                self.in_place += libraries;
            }
        }
    }
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(120), "gave up waiting: {what}");
        // Not at once: the sanitizer of threads does not see how a thread gets a lock that it had to wait for.
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn every_generation_that_was_flushed_is_freed() {
    let mut main = Main::start(4);
    for round in 0..rounds() {
        for number in 0..round % 7 + 1 {
            main.load(number);
            assert!(main.call(&format!("f{number}"), Server::Patient));
        }
        main.flush();
        if round % 3 != 0 {
            main.reclaim.deliver();
        }
    }
    main.reclaim.deliver();
    wait_until("all is freed", || main.depot.pending().programs == 0);
    assert_eq!(main.depot.freed().programs, main.retired);
    assert!(main.retired > 0);
}

#[test]
fn generations_of_scripts_and_of_functions_go_to_the_same_worker() {
    let scripts = Depot::new(|| Scripts::new(Dialect::default()).ok());
    let functions = Depot::new(generation);
    let reclaim = Reclaim::start(4, vec![scripts.clone(), functions.clone()]).expect("a thread");
    let mut freed = 0;
    for round in 0..rounds() {
        let mut leaving =
            scripts.take_spare().unwrap_or_else(|| Box::new(Scripts::new(Dialect::default()).expect("a VM")));
        for number in 0..round % 5 {
            let code = format!("local t = {{KEYS[1], {number}}} return redis.call('GET', t[1])");
            let script = leaving.add(code.as_bytes(), Origin::Eval, false).expect("it is right");
            let (one, mut reply) = ([b"word".as_slice()], Count::default());
            let called = leaving.call(&script, one.into_iter(), one.into_iter(), &mut Server::Patient, &mut reply);
            assert!(called.is_ok() && reply.0 == 1);
        }
        freed += if reclaim.hand_over(vec![leaving], &scripts).is_ok() { round as u64 % 5 } else { 0 };
        let _ = reclaim.hand_over(
            vec![functions.take_spare().unwrap_or_else(|| Box::new(generation().expect("a VM")))],
            &functions,
        );
        reclaim.deliver();
    }
    wait_until("all is freed", || scripts.pending().programs == 0);
    assert_eq!((scripts.freed().programs, functions.freed().programs), (freed, 0));
    assert!(freed > 0);
}

/// A deploy for the worker, and where its result goes.
struct Build {
    deployment: Deployment,
    done: Sender<Box<Functions>>,
}

impl Task for Build {
    fn run(self: Box<Self>) {
        let built = self.deployment.build(&mut LogLines::default(), &|| false).expect("it is right");
        self.done.send(built.generation).expect("somebody waits");
    }
}

#[test]
fn the_worker_builds_generations_while_functions_run_here() {
    let mut main = Main::start(4);
    let (done, built) = unbounded();
    main.load(0);
    for round in 0..rounds() {
        let texts: Vec<String> = (0..=round % 7).map(source).collect();
        let deployment = Deployment {
            sources: Sources::Texts(Texts::new(texts.iter().map(|text| text.as_bytes()))),
            dialect: Dialect::default(),
            memory_limit: 0,
            time_limit: None,
            label: None,
        };
        assert!(main.reclaim.request(Box::new(Build { deployment, done: done.clone() })).is_ok());
        main.reclaim.deliver();
        let next = loop {
            assert!(main.call("f0", Server::Patient));
            if let Ok(next) = built.try_recv() {
                break next;
            }
        };
        main.put_in_place(next);
        main.reclaim.deliver();
        assert!(main.call(&format!("f{}", round % 7), Server::Patient));
    }
    wait_until("all is freed", || main.depot.pending().programs == 0);
    assert_eq!(main.depot.freed().programs, main.retired);
}

#[test]
fn work_that_is_not_done_is_dropped() {
    let (done, built) = unbounded();
    let main = full(1);
    let deployment = Deployment {
        sources: Sources::Texts(Texts::new(std::iter::empty())),
        dialect: Dialect::default(),
        memory_limit: 0,
        time_limit: None,
        label: None,
    };
    assert!(main.reclaim.request(Box::new(Build { deployment, done })).is_err());
    assert!(built.recv().is_err());
}

#[test]
fn calls_are_ended_by_the_watch_while_the_worker_frees() {
    let mut main = Main::start(4);
    for round in 0..rounds() / 10 {
        (0..20).for_each(|number| main.load(number));
        main.flush();
        main.reclaim.deliver();
        main.load(round);
        assert!(!main.call(&format!("spin{round}"), Server::Impatient));
        // The alarm of the call that has ended may be in the VM still.
        assert!(main.call(&format!("f{round}"), Server::Patient));
    }
}

#[test]
fn an_alarm_is_never_rung_in_a_vm_that_was_given_up() {
    let mut main = Main::start(2);
    main.watch.begin_sampling(Callable::Function, 10_000, Duration::from_secs(3_600));
    for round in 0..rounds() {
        main.load(0);
        // The watch sees a call that is long overdue, and owes samples, while the VM goes.
        main.watch.begin(Callable::Function);
        main.watch.postpone(0);
        if round % 10 == 0 {
            std::thread::yield_now();
        }
        main.flush();
        main.watch.end();
        main.reclaim.deliver();
    }
}

/// A worker that is held, its queue full, and at least one generation freed in place.
fn full(number: usize) -> Main {
    let mut main = Main::start(3);
    main.reclaim.hold(true);
    while main.in_place == 0 {
        main.load(number);
        main.flush();
        main.reclaim.deliver();
    }
    main
}

#[test]
fn a_full_queue_is_freed_at_the_end() {
    for round in 0..rounds() / 10 {
        let main = full(round);
        main.reclaim.stop(false);
        assert_eq!((main.depot.pending().programs, main.depot.freed().programs), (0, main.retired));
    }
}

#[test]
fn a_full_queue_is_left_alone_at_the_end_of_the_process() {
    for round in 0..rounds() / 10 {
        let main = full(round);
        main.reclaim.stop(true);
        assert_eq!((main.depot.pending().programs, main.depot.freed().programs), (0, 0));
    }
}

#[test]
fn a_worker_that_is_dropped_frees_what_it_has() {
    for round in 0..rounds() / 10 {
        let mut main = Main::start(8);
        for _ in 0..round % 8 {
            main.load(round);
            main.flush();
            main.reclaim.deliver();
        }
        main.load(round);
        main.flush();
    }
}
