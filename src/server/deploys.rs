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

use super::api::{Bell, BlockedClient, ClientId, Context, Doorbell, ServerString, State, Waiting, Words};
use super::commands::replicate_restore;
use super::load_host::{LoadHost, log};
use super::module::{self, Module, Policy};
use super::running::is_any;
use crate::clock::unix_milliseconds;
use crate::deployment::{Built, Deployment, LogLines};
use crate::error::{Error, INTERNAL};
use crate::reclaim::Task;
use crate::registry::{Label, Release, SetHash};

/// The command, as it is sent to replicas and files.
const COMMAND: &CStr = c"SHADOW.FUNCTION";

/// What is to become of a generation that was built.
pub struct Order {
    /// The version that must be the current one.
    pub if_version: Option<Vec<u8>>,
    /// Whether it is only tried.
    pub tries: bool,
    /// Who deploys, and when.
    pub author: Author,
    /// Whether it comes from the master or out of a file.
    pub obeys: bool,
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

    /// What is known of the libraries that were deployed under this label and have this hash.
    pub fn release(self, label: Label, hash: SetHash) -> Release {
        let Self { time, client, user, changed } = self;
        Release { label, changed, hash, time, client, user }
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
    /// None once it was carried out.
    order: Option<Order>,
    /// None once the client was let go.
    client: Option<BlockedClient>,
    is_given_up: Arc<AtomicBool>,
    stage: Stage,
}

/// How far a deploy is.
enum Stage {
    /// The worker has it.
    Building,
    /// The worker is done.
    Built(Outcome),
    /// It is in place, or has failed: the reply.
    Answered(Result<String, Error>),
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
    pub fn new(context: &Context) -> Result<Self, String> {
        let (sender, done) = unbounded();
        // A function may be running now; when the event loop turns, none is.
        let doorbell = Doorbell::new(context, |context| context.soon(attend))?;
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
                Some(deploy) => deploy.stage = Stage::Built(outcome),
                None => dispose(module, context, outcome),
            }
        }
    }

    /// Takes the first that is built and not in place yet, unless one before it is still being built.
    fn next(&self) -> Option<(u64, Order, Outcome)> {
        let mut waiting = self.waiting.borrow_mut();
        let deploy = waiting.iter_mut().find(|deploy| !matches!(deploy.stage, Stage::Answered(_)))?;
        let Stage::Built(outcome) = std::mem::replace(&mut deploy.stage, Stage::Building) else { return None };
        Some((deploy.number, deploy.order.take()?, outcome))
    }

    /// Notes what is replied to a deploy.
    fn answer(&self, number: u64, reply: Result<String, Error>) {
        if let Some(deploy) = self.waiting.borrow_mut().iter_mut().find(|deploy| deploy.number == number) {
            deploy.stage = Stage::Answered(reply);
        }
    }

    /// Makes a client wait. Gives its number.
    fn add(&self, client: BlockedClient, order: Option<Order>, stage: Stage, is_given_up: Arc<AtomicBool>) -> u64 {
        let number = self.last.get() + 1;
        self.last.set(number);
        let deploy = Deploy { number, order, client: Some(client), is_given_up, stage };
        self.waiting.borrow_mut().push_back(deploy);
        number
    }

    /// Lets the clients go that can be replied to.
    fn release(&self) {
        for deploy in self.waiting.borrow_mut().iter_mut() {
            if matches!(deploy.stage, Stage::Answered(_))
                && let Some(client) = deploy.client.take()
            {
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

/// Swaps in the deploys that are built. Called when the worker rings, and by the server's timer: while writes are
/// paused they wait, for nothing may be sent to the replicas then.
pub fn attend(context: &Context) {
    // A function that runs is not swapped away; the next tick comes.
    if is_any() {
        return;
    }
    let next = || {
        let module = module::read().ok()?;
        module.deploys.collect(&module, context);
        if context.writes_are_paused() { None } else { module.deploys.next() }
    };
    let (mut any, mut any_sent) = (false, false);
    while let Some((number, order, outcome)) = next() {
        any = true;
        let tries = order.tries;
        let reply = complete(context, order, outcome);
        any_sent |= reply.is_ok() && !tries;
        if let Ok(module) = module::read() {
            module.deploys.answer(number, reply);
        }
    }
    if any {
        reply_soon(context, any_sent);
    }
}

/// Replies to those who wait, once the replicas have been sent what makes them take note of the deploy, if they were
/// sent one.
///
/// Redis takes note of what its master's link has brought when the next command comes, if the link had to wait: until
/// then the deploy does not count as received, a failover waits for it, and replicas of the replica do not have it.
fn reply_soon(context: &Context, is_sent: bool) {
    // By itself: in a transaction with the deploy it would not be the next command.
    context.soon(if is_sent { note_and_release } else { release });
}

fn note_and_release(context: &Context) {
    let is_valkey = module::read().is_ok_and(|module| module.dialect.is_valkey());
    if !is_valkey && !context.state().contains(State::SLAVE) && !context.writes_are_paused() {
        context.replicate_to_replicas(c"PING");
    }
    release(context);
}

fn release(_: &Context) {
    if let Ok(module) = module::read() {
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
        let failed = || Outcome { built: Err(INTERNAL.into()), lines: LogLines::default() };
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
pub fn begin(context: &Context, deployment: Deployment, order: Order) -> Result<(), Error> {
    match waiting_client(context)? {
        Some(client) => request(context, client, deployment, order),
        None => {
            let built = deployment.build(&mut LoadHost(context), &|| false)?;
            context.reply_bulk(put_in_place(context, built, order)?.as_bytes());
            Ok(())
        }
    }
}

/// Makes the client wait. None where it must not, and where there is no worker to wait for.
///
/// # Errors
/// When too much waits for the worker.
fn waiting_client(context: &Context) -> Result<Option<BlockedClient>, Error> {
    let reclaim = &module::read()?.threads.reclaim;
    if must_not_wait(context) || !reclaim.is_alive() {
        return Ok(None);
    }
    if reclaim.is_full() {
        return Err("ERR Too many flushes and deploys are waiting".into());
    }
    // Valkey refuses it for a replica's link to its master.
    Ok(BlockedClient::new::<Deploys>(context))
}

/// Whether a command must not make its client wait.
fn must_not_wait(context: &Context) -> bool {
    context.state().intersects(State::MULTI | State::LUA | State::LOADING | State::DENY_BLOCKING)
}

/// Gives the worker a deploy that `client` waits for.
fn request(context: &Context, client: BlockedClient, deployment: Deployment, order: Order) -> Result<(), Error> {
    let module = module::read()?;
    let Module { deploys, threads, .. } = &*module;
    let is_given_up = Arc::new(AtomicBool::new(false));
    let number = deploys.add(client, Some(order), Stage::Building, Arc::clone(&is_given_up));
    let report = Report { number, outcome: None, sender: deploys.sender.clone(), bell: deploys.doorbell.bell() };
    // If it is refused after all, the report says so.
    let _ = threads.reclaim.request(Box::new(Build { deployment, is_given_up, report }));
    threads.deliver_soon(context);
    Ok(())
}

impl Waiting for Deploys {
    fn resume(context: &Context, number: u64) {
        let deploy = module::read().ok().and_then(|module| module.deploys.take(|deploy| deploy.number == number));
        match deploy.map(|deploy| deploy.stage) {
            Some(Stage::Answered(Ok(version))) => context.reply_bulk(version.as_bytes()),
            Some(Stage::Answered(Err(error))) => context.reply_error(error.text()),
            _ => context.reply_error(INTERNAL.as_bytes()),
        }
    }

    fn leave(context: &Context, client: BlockedClient) {
        let Ok(module) = module::read() else { return };
        if let Some(deploy) = module.deploys.take(|deploy| deploy.client.as_ref() == Some(&client)) {
            deploy.is_given_up.store(true, Ordering::Relaxed);
            client.release(0);
            if let Stage::Built(outcome) = deploy.stage {
                dispose(&module, context, outcome);
            }
        }
    }

    fn forget(_: &Context, number: u64) {
        if let Ok(module) = module::read() {
            module.deploys.take(|deploy| deploy.number == number);
        }
    }
}

/// Swaps in what the worker has built. Gives the version.
fn complete(context: &Context, order: Order, outcome: Outcome) -> Result<String, Error> {
    let (lines, lost) = outcome.lines.take();
    for (level, message) in lines {
        log(context, level, &message);
    }
    if lost > 0 {
        context.log(c"warning", format!("{lost} more lines that libraries logged are lost").as_bytes());
    }
    outcome.built.and_then(|built| put_in_place(context, built, order))
}

/// Swaps in what was built, and sends it to replicas and files. Gives the version.
fn put_in_place(context: &Context, built: Built, order: Order) -> Result<String, Error> {
    let Order { if_version, tries, author, obeys } = order;
    let Built { mut generation, label, hash } = built;
    let checked = if context.state().contains(State::SLAVE) && !obeys {
        Err("READONLY You can't write against a read only replica.".into())
    } else {
        check_version(if_version.as_deref())
    };
    if checked.is_err() || tries {
        let module = module::read()?;
        module.functions.dispose(&module.threads, context, vec![generation]);
        return checked.map(|()| label.as_str().to_owned());
    }
    let release = author.release(label, hash);
    generation.set_release(release.clone());
    module::write(context)?.deploy(context, generation);
    send(context)?;
    Ok(release.shown())
}

/// Checks that the current version is this one.
///
/// # Errors
/// When it is another one.
pub fn check_version(wanted: Option<&[u8]>) -> Result<(), Error> {
    let Some(wanted) = wanted else { return Ok(()) };
    match current_version()? {
        Some(current) if current.as_bytes() == wanted => Ok(()),
        Some(current) => Err(Error::new(format!("ERR The current version is '{current}'"))),
        None => Err("ERR The current libraries have no version".into()),
    }
}

/// What the current version is called.
fn current_version() -> Result<Option<String>, Error> {
    Ok(module::read()?.functions.generation().registry().release().map(Release::shown))
}

/// Swaps in a version that was kept, sends it to replicas and files, and replies with it.
///
/// # Errors
/// When there is none.
pub fn roll_back(context: &Context, label: Option<&Label>) -> Result<(), Error> {
    module::write(context)?.roll_back(context, label)?;
    let version = current_version()?;
    if send(context)?
        && !must_not_wait(context)
        && let Some(version) = &version
        && let Some(client) = BlockedClient::new::<Deploys>(context)
    {
        let stage = Stage::Answered(Ok(version.clone()));
        module::read()?.deploys.add(client, None, stage, Arc::default());
        reply_soon(context, true);
        return Ok(());
    }
    match version {
        Some(version) => context.reply_bulk(version.as_bytes()),
        None => context.reply_null(),
    }
    Ok(())
}

/// Sends the current libraries as a deploy. False if nobody gets what is sent: making it takes time, so the change is
/// only counted.
fn send(context: &Context) -> Result<bool, Error> {
    let module = module::read()?;
    if !module.listeners.any(context) {
        drop(module);
        context.replicate_to_replicas(c"PING");
        return Ok(false);
    }
    let registry = module.functions.generation().registry();
    let Some(release) = registry.release() else {
        let payload = module.dump(context);
        drop(module);
        replicate_restore(context, &payload, Policy::Flush);
        return Ok(true);
    };
    let head = head(release);
    let texts = registry.libraries().map(|library| &*library.code);
    let words: Vec<ServerString> = head.iter().map(Vec::as_slice).chain(texts).map(ServerString::new).collect();
    drop(module);
    // Apart, for the state is not to be borrowed while the server replicates.
    context.replicate_words(COMMAND, &mut Words::new(&words));
    Ok(true)
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
