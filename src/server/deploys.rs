//! Deploys: a whole generation of libraries that takes the place of the current one.
//!
//! The worker builds it while the server goes on, and the client waits. A deploy takes effect when it is swapped in:
//! what others change meanwhile goes with the generation that it replaces, unless IFVERSION forbids that. Deploys are
//! built and swapped in the order in which they came. One whose client has gone is given up. Where a client must not
//! wait (in a transaction, or while a file is loaded) it is built in place.
//!
//! Replicas and the append-only file get the sources, with what the deploy says of itself. A replica builds by its own
//! worker, too: its master's link waits, its clients do not.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::CStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::api::{
    Arguments, Bell, BlockedClient, ClientId, Context, DetachedContext, Doorbell, ServerString, State, Waiting, Words,
};
use super::commands::replicate_restore;
use super::load_host::{LoadHost, log};
use super::module::{self, Module, Policy};
use crate::clock::unix_milliseconds;
use crate::deployment::{Built, Deployment, LogLines};
use crate::error::Error;
use crate::reclaim::Task;
use crate::registry::{Label, Release};

/// The command, as it is sent to replicas and files.
const COMMAND: &CStr = c"SHADOW.FUNCTION";

/// What is to become of a generation that was built.
#[derive(Debug)]
pub struct Order {
    /// The version that must be the current one.
    pub if_version: Option<Vec<u8>>,
    /// Whether it is only tried.
    pub tries: bool,
    /// Who deploys, and when.
    pub author: Author,
    /// Where the sources stand among the words of the command; None if they do not.
    pub texts: Option<usize>,
}

/// Who deploys, and when.
#[derive(Debug)]
pub struct Author {
    /// In milliseconds since 1970.
    pub time: u64,
    pub client: Box<[u8]>,
    pub user: Box<[u8]>,
    /// Whether this has been changed since, where it comes from a file or the master.
    pub changed: bool,
}

impl Author {
    /// The client whose command is running.
    pub fn of_caller(context: &Context) -> Self {
        let client = ClientId::of_caller(context);
        Self {
            time: unix_milliseconds(),
            client: client.name(context).into(),
            user: client.user(context).into(),
            changed: false,
        }
    }
}

/// What the worker has made of a deploy.
struct Outcome {
    built: Result<Built, Error>,
    lines: LogLines,
}

/// A deploy that a client waits for.
struct Deploy {
    number: u64,
    order: Order,
    /// None once the client was let go.
    client: Option<BlockedClient>,
    is_given_up: Arc<AtomicBool>,
    /// What the worker has made of it, once that is known.
    outcome: Option<Outcome>,
}

/// The deploys that the worker builds, in their order.
pub struct Deploys {
    waiting: RefCell<VecDeque<Deploy>>,
    last: Cell<u64>,
    sender: Sender<(u64, Outcome)>,
    done: Receiver<(u64, Outcome)>,
    doorbell: Doorbell,
}

impl Deploys {
    /// None yet.
    ///
    /// # Errors
    /// A sentence for the log.
    pub fn new() -> Result<Self, String> {
        let (sender, done) = unbounded();
        let doorbell = Doorbell::new(|| DetachedContext::new().get().soon(attend))?;
        Ok(Self { waiting: RefCell::default(), last: Cell::new(0), sender, done, doorbell })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.waiting.borrow().len()
    }

    /// Ends what is being built, at the next library: the server ends.
    pub fn give_up(&self) {
        self.waiting.borrow().iter().for_each(|deploy| deploy.is_given_up.store(true, Ordering::Relaxed));
    }

    /// Takes what the worker has made.
    fn collect(&self, module: &Module, context: &Context) {
        for (number, outcome) in self.done.try_iter() {
            match self.waiting.borrow_mut().iter_mut().find(|deploy| deploy.number == number) {
                Some(deploy) => deploy.outcome = Some(outcome),
                None => dispose(module, context, outcome),
            }
        }
    }

    /// Lets go the clients whose deploys are built, in their order.
    fn release(&self) {
        for deploy in self.waiting.borrow_mut().iter_mut() {
            if deploy.outcome.is_none() {
                break;
            }
            if let Some(client) = deploy.client.take() {
                client.release(deploy.number);
            }
        }
    }

    fn take(&self, is_it: impl Fn(&Deploy) -> bool) -> Option<Deploy> {
        let mut waiting = self.waiting.borrow_mut();
        let place = waiting.iter().position(is_it)?;
        waiting.remove(place)
    }
}

/// Frees what was built in vain.
fn dispose(module: &Module, context: &Context, outcome: Outcome) {
    if let Ok(built) = outcome.built {
        module.functions.dispose(&module.threads, context, vec![built.generation]);
    }
}

/// Goes on with the deploys that are built. Called when the worker rings, and by the server's timer: while writes are
/// paused they wait, for nothing may be sent to the replicas then.
pub fn attend(context: &Context) {
    let Ok(module) = module::read() else { return };
    if module.deploys.waiting.borrow().is_empty() && module.deploys.done.is_empty() {
        return;
    }
    module.deploys.collect(&module, context);
    if !context.writes_are_paused() {
        module.deploys.release();
    }
}

/// The worker's part of a deploy.
struct Build {
    deployment: Deployment,
    is_given_up: Arc<AtomicBool>,
    report: Report,
}

impl Task for Build {
    fn run(self: Box<Self>) {
        let Self { deployment, is_given_up, mut report } = *self;
        let mut lines = LogLines::default();
        let built = deployment.build(&mut lines, &|| is_given_up.load(Ordering::Relaxed));
        report.outcome = Some(Outcome { built, lines });
    }
}

/// Tells the main thread what came of a deploy, in any case.
struct Report {
    number: u64,
    /// None for a build that has panicked or was never begun.
    outcome: Option<Outcome>,
    sender: Sender<(u64, Outcome)>,
    bell: Bell,
}

impl Drop for Report {
    fn drop(&mut self) {
        let failed = || Outcome {
            built: Err("ERR internal error in the shadow module, see the server's log".into()),
            lines: LogLines::default(),
        };
        let outcome = self.outcome.take().unwrap_or_else(failed);
        // Nobody listens any more when the module is gone.
        let _ = self.sender.send((self.number, outcome));
        self.bell.ring();
    }
}

/// Deploys: makes the client wait for the worker, or builds in place where it must not wait.
///
/// # Errors
/// What stands against it. Nothing has changed then.
pub fn begin(context: &Context, arguments: Arguments, deployment: Deployment, order: Order) -> Result<(), Error> {
    let state = context.state();
    let deployment = if state.intersects(State::MULTI | State::LUA | State::LOADING | State::DENY_BLOCKING) {
        deployment
    } else {
        match request(context, deployment)? {
            Ok((number, is_given_up)) => return wait(context, number, is_given_up, order),
            Err(deployment) => deployment,
        }
    };
    let built = deployment.build(&mut LoadHost(context), &|| false)?;
    put_in_place(context, arguments, built, order)
}

/// Gives the worker a deploy. Gives it back if there is no worker.
///
/// # Errors
/// When too much waits for the worker.
fn request(context: &Context, deployment: Deployment) -> Result<Result<(u64, Arc<AtomicBool>), Deployment>, Error> {
    let module = module::read()?;
    let Module { deploys, threads, .. } = &*module;
    if !threads.reclaim.is_alive() {
        return Ok(Err(deployment));
    }
    let number = deploys.last.get() + 1;
    let is_given_up = Arc::new(AtomicBool::new(false));
    let report = Report { number, outcome: None, sender: deploys.sender.clone(), bell: deploys.doorbell.bell() };
    let build = Build { deployment, is_given_up: Arc::clone(&is_given_up), report };
    threads.reclaim.request(Box::new(build)).map_err(|_| "ERR Too many flushes and deploys are waiting")?;
    threads.deliver_soon(context);
    deploys.last.set(number);
    Ok(Ok((number, is_given_up)))
}

/// Makes the client wait.
fn wait(context: &Context, number: u64, is_given_up: Arc<AtomicBool>, order: Order) -> Result<(), Error> {
    let Some(client) = BlockedClient::new::<Deploys>(context) else {
        is_given_up.store(true, Ordering::Relaxed);
        return Ok(());
    };
    let deploy = Deploy { number, order, client: Some(client), is_given_up, outcome: None };
    module::read()?.deploys.waiting.borrow_mut().push_back(deploy);
    Ok(())
}

impl Waiting for Deploys {
    fn resume(context: &Context, arguments: Arguments, number: u64) {
        if let Err(error) = complete(context, arguments, number) {
            context.reply_error(error.text());
        }
    }

    fn leave(context: &Context, client: BlockedClient) {
        let Ok(module) = module::read() else { return };
        let left = module.deploys.take(|deploy| deploy.client.as_ref() == Some(&client));
        if let Some(deploy) = left {
            deploy.is_given_up.store(true, Ordering::Relaxed);
            client.release(0);
            if let Some(outcome) = deploy.outcome {
                dispose(&module, context, outcome);
            }
        }
    }

    fn forget(context: &Context, number: u64) {
        let Ok(module) = module::read() else { return };
        if let Some(outcome) = module.deploys.take(|deploy| deploy.number == number).and_then(|deploy| deploy.outcome) {
            dispose(&module, context, outcome);
        }
    }
}

/// Swaps in what the worker has built.
fn complete(context: &Context, arguments: Arguments, number: u64) -> Result<(), Error> {
    let deploy = module::read()?.deploys.take(|deploy| deploy.number == number);
    let (order, outcome) = deploy
        .and_then(|deploy| Some((deploy.order, deploy.outcome?)))
        .ok_or("ERR internal error in the shadow module, see the server's log")?;
    let (lines, lost) = outcome.lines.take();
    for (level, message) in lines {
        log(context, level, &message);
    }
    if lost > 0 {
        context.log(c"warning", format!("{lost} more lines that libraries logged are lost").as_bytes());
    }
    put_in_place(context, arguments, outcome.built?, order)
}

/// Swaps in what was built, sends it to replicas and files, and replies with the version.
fn put_in_place(context: &Context, arguments: Arguments, built: Built, order: Order) -> Result<(), Error> {
    let Built { mut generation, label, hash } = built;
    let state = context.state();
    let checked = if state.contains(State::SLAVE) && !state.obeys() {
        Err("READONLY You can't write against a read only replica.".into())
    } else {
        check_version(order.if_version.as_deref())
    };
    if checked.is_err() || order.tries {
        let module = module::read()?;
        module.functions.dispose(&module.threads, context, vec![generation]);
        checked?;
        context.reply_bulk(label.as_str().as_bytes());
        return Ok(());
    }
    let Author { time, client, user, changed } = order.author;
    let release = Release { label, changed, hash, time, client, user };
    generation.set_release(release.clone());
    module::write(context)?.deploy(context, generation);
    // Apart, for the state is not to be borrowed while the server replicates.
    match order.texts {
        Some(start) => {
            let head = head(&release).map(|word| ServerString::new(&word));
            context.replicate_words(COMMAND, &mut arguments.after(&head, start));
        }
        None => send(context)?,
    }
    context.reply_bulk(release.shown().as_bytes());
    Ok(())
}

/// Checks that the current version is this one.
///
/// # Errors
/// When it is another one.
pub fn check_version(wanted: Option<&[u8]>) -> Result<(), Error> {
    let Some(wanted) = wanted else { return Ok(()) };
    let module = module::read()?;
    let current = module.functions.generation().registry().release().map(Release::shown);
    match current {
        Some(current) if current.as_bytes() == wanted => Ok(()),
        Some(current) => Err(Error::new(format!("ERR The current version is '{current}'"))),
        None => Err("ERR The current libraries have no version".into()),
    }
}

/// Swaps in a version that was kept, and sends it to replicas and files.
///
/// # Errors
/// When there is none.
pub fn roll_back(context: &Context, label: Option<&Label>) -> Result<(), Error> {
    module::write(context)?.roll_back(context, label)?;
    if is_sent(context) {
        send(context)?;
    }
    Ok(())
}

/// Whether anybody gets what this server sends: making that takes time.
fn is_sent(context: &Context) -> bool {
    let [replicas, backlog] = context.info(c"replication", [c"connected_slaves", c"repl_backlog_active"]);
    context.state().contains(State::AOF) || [replicas, backlog].iter().any(|count| count.as_deref() != Some(b"0"))
}

/// Sends the current libraries as a deploy.
fn send(context: &Context) -> Result<(), Error> {
    let module = module::read()?;
    let registry = module.functions.generation().registry();
    let Some(release) = registry.release() else {
        let payload = module.dump(context);
        drop(module);
        replicate_restore(context, &payload, Policy::Flush);
        return Ok(());
    };
    let head = head(release);
    let texts = registry.libraries().map(|library| &*library.code);
    let words: Vec<ServerString> = head.iter().map(Vec::as_slice).chain(texts).map(ServerString::new).collect();
    drop(module);
    context.replicate_words(COMMAND, &mut Words::new(&words));
    Ok(())
}

/// The words of a deploy before its texts, as it is sent to replicas and files: with what a client cannot say.
pub fn head(release: &Release) -> [Vec<u8>; 8] {
    [
        b"DEPLOY".to_vec(),
        b"VERSION".to_vec(),
        release.shown().into_bytes(),
        b"AT".to_vec(),
        release.time.to_string().into_bytes(),
        b"BY".to_vec(),
        release.client.to_vec(),
        release.user.to_vec(),
    ]
}
