//! The stream of commands, and what may be left of it after a crash.

use std::io;

use fastrand::Rng;

use crate::Mode;
use crate::model::{BRINGING, Change, Contents, Deploy, Libraries, SCRIPTS, label};
use crate::support::{Client, Value, resp};

/// Contents that take part. Few, so that they meet each other.
const LIBRARIES: u32 = 8;
/// Commands that are sent at once at most.
const BATCH: usize = 6;
/// Payloads that are kept to be restored.
const PAYLOADS: usize = 4;

/// A command of the stream.
#[derive(Clone, Debug)]
enum Step {
    Change(Change),
    Dump,
    Rewrite,
    Save,
    SaveInBackground,
    /// Until a replica has everything before it.
    Wait,
}

/// The stream.
pub struct Stream {
    mode: Mode,
    rng: Rng,
    /// What is loaded and cached, as far as the server has answered.
    current: Contents,
    /// What the last snapshot holds.
    saved: Contents,
    /// What the one holds that may still be written.
    in_background: Option<Contents>,
    /// What was sent and not answered.
    unanswered: Vec<Step>,
    /// What the replica has.
    confirmed: Contents,
    /// What was answered since then.
    unconfirmed: Vec<Step>,
    payloads: Vec<(Vec<u8>, Contents)>,
    editions: u32,
    answered: usize,
    refused: usize,
    files: usize,
    deploys: usize,
    rollbacks: usize,
}

impl Stream {
    pub fn new(mode: Mode, rng: Rng) -> Self {
        Self {
            mode,
            rng,
            current: Contents::default(),
            saved: Contents::default(),
            in_background: None,
            unanswered: Vec::new(),
            confirmed: Contents::default(),
            unconfirmed: Vec::new(),
            payloads: Vec::new(),
            editions: 0,
            answered: 0,
            refused: 0,
            files: 0,
            deploys: 0,
            rollbacks: 0,
        }
    }

    /// Sends commands until the server is gone.
    pub fn run(&mut self, client: &mut Client) {
        while self.send_some(client).is_ok() {}
    }

    fn send_some(&mut self, client: &mut Client) -> io::Result<()> {
        let batch = 1 + self.rng.usize(..BATCH);
        self.unanswered = (0..batch).map(|_| self.step()).collect();
        self.unanswered.extend((self.mode == Mode::Failovers).then_some(Step::Wait));
        let bytes: Vec<u8> = self.unanswered.iter().flat_map(|step| resp::encode(&words(step))).collect();
        client.write(&bytes)?;
        while !self.unanswered.is_empty() {
            let reply = resp::parse(&client.read_raw()?);
            let step = self.unanswered.remove(0);
            self.take(step, reply);
        }
        Ok(())
    }

    /// The next command.
    fn step(&mut self) -> Step {
        if self.rng.u8(..20) == 0 {
            return Step::Dump;
        }
        match (self.mode, self.rng.u8(..16)) {
            (Mode::Rewrites, 0 | 1) => return Step::Rewrite,
            (Mode::Snapshots, 0) => return Step::Save,
            (Mode::Snapshots, 1 | 2) => return Step::SaveInBackground,
            _ => {}
        }
        if self.rng.u8(..3) == 0 {
            return Step::Change(match self.rng.u8(..32) {
                0 => Change::FlushScripts { word: self.rng.choice([None, Some("SYNC"), Some("ASYNC")]).flatten() },
                _ => Change::Script {
                    number: self.rng.u32(..SCRIPTS),
                    command: self.rng.choice(BRINGING).expect("there are three"),
                },
            });
        }
        let library = self.rng.u32(..LIBRARIES);
        self.editions += 1;
        let edition = self.editions;
        match self.rng.u8(..8) {
            0 => return Step::Change(Change::Deploy(self.deploy(edition))),
            1 => return Step::Change(Change::RollBack { version: self.rng.bool().then(|| self.some_version()) }),
            _ => {}
        }
        Step::Change(match self.rng.u8(..16) {
            0..3 => Change::Load { library, edition, replace: false },
            3..9 => Change::Load { library, edition, replace: true },
            9..12 => Change::Delete { library },
            12 => Change::Flush { word: self.rng.choice([None, Some("SYNC"), Some("ASYNC")]).flatten() },
            _ => match self.rng.choice(&self.payloads) {
                Some((payload, contents)) => Change::Restore {
                    payload: payload.clone(),
                    contents: contents.clone(),
                    policy: self.rng.choice(["FLUSH", "APPEND", "REPLACE"]).expect("there are three"),
                },
                None => Change::Delete { library },
            },
        })
    }

    fn deploy(&mut self, number: u32) -> Deploy {
        let count = self.rng.usize(1..=LIBRARIES as usize);
        let libraries: Libraries =
            self.rng.choose_multiple(0..LIBRARIES, count).into_iter().map(|library| (library, number)).collect();
        // Mostly the current one, if nothing changes it on the way there.
        let current = self.current.version().map(str::to_owned);
        let if_version = match self.rng.u8(..8) {
            0 | 1 => current,
            2 => Some(self.some_version()),
            _ => None,
        };
        Deploy { number, libraries, if_version, tries: self.rng.u8(..8) == 0, fails: self.rng.u8(..8) == 0 }
    }

    /// What one of the last versions may be called.
    fn some_version(&mut self) -> String {
        label(self.editions.saturating_sub(self.rng.u32(..20)))
    }

    /// The server has answered.
    fn take(&mut self, step: Step, reply: Value) {
        self.answered += 1;
        if self.mode == Mode::Failovers {
            self.unconfirmed.push(step.clone());
        }
        match step {
            Step::Change(change) => {
                let made = self.current.apply(&change);
                assert_eq!(made, !reply.is_error(), "{reply:?} to {change:?} with {:?}", self.current);
                self.refused += usize::from(!made);
                match change {
                    Change::Deploy(deploy) if made => {
                        assert_eq!(reply.text(), label(deploy.number));
                        self.deploys += usize::from(!deploy.tries);
                    }
                    Change::RollBack { .. } if made => {
                        assert_eq!(
                            Some(reply.text()).filter(|text| !text.is_empty()).as_deref(),
                            self.current.version()
                        );
                        self.rollbacks += 1;
                    }
                    _ => {}
                }
            }
            Step::Wait => {
                assert_eq!(reply, Value::Integer(1));
                self.confirmed = self.current.clone();
                self.unconfirmed.clear();
            }
            Step::Dump => {
                let Value::Bulk(payload) = reply else { panic!("{reply:?}") };
                if self.payloads.len() == PAYLOADS {
                    self.payloads.remove(0);
                }
                self.payloads.push((payload, self.current.clone()));
            }
            // Refused while one is running.
            Step::Rewrite => self.files += usize::from(!reply.is_error()),
            Step::Save => {
                if !reply.is_error() {
                    self.files += 1;
                    self.saved = self.current.clone();
                    self.in_background = None;
                }
            }
            Step::SaveInBackground => {
                if !reply.is_error() {
                    self.files += 1;
                    // The one before is complete: two are never written at a time.
                    if let Some(complete) = self.in_background.replace(self.current.clone()) {
                        self.saved = complete;
                    }
                }
            }
        }
    }

    /// What the server may have after a crash.
    pub fn expected(&self) -> Vec<Contents> {
        let mut current = match self.mode {
            Mode::Failovers => self.confirmed.clone(),
            _ => self.current.clone(),
        };
        let mut possible: Vec<Contents> = match self.mode {
            Mode::Snapshots => [&self.saved].into_iter().chain(&self.in_background).cloned().collect(),
            Mode::AppendOnly | Mode::Rewrites | Mode::Failovers => vec![current.clone()],
        };
        // What was not answered may have been done, in order, up to any of it.
        for step in self.unconfirmed.iter().chain(&self.unanswered) {
            match step {
                Step::Change(change) => {
                    current.apply(change);
                    if self.mode != Mode::Snapshots {
                        possible.push(current.clone());
                    }
                }
                Step::Save | Step::SaveInBackground => possible.push(current.clone()),
                Step::Dump | Step::Rewrite | Step::Wait => {}
            }
        }
        possible.iter().map(Contents::lasting).collect()
    }

    /// The server runs again with these contents, and so do its files.
    pub fn go_on_from(&mut self, found: Contents) {
        self.unanswered.clear();
        self.in_background = None;
        self.unconfirmed.clear();
        self.saved = found.clone();
        self.confirmed = found.clone();
        self.current = found;
    }

    /// What the stream has seen.
    pub fn counts(&self) -> String {
        let files = match self.mode {
            Mode::AppendOnly | Mode::Failovers => String::new(),
            Mode::Rewrites => format!(", {} rewrites", self.files),
            Mode::Snapshots => format!(", {} snapshots", self.files),
        };
        let Self { answered, refused, deploys, rollbacks, .. } = self;
        format!(
            "{answered} commands answered, {refused} of them refused as they should, {deploys} deploys, {rollbacks} rollbacks{files}"
        )
    }
}

fn words(step: &Step) -> Vec<Vec<u8>> {
    let line = match step {
        Step::Change(change) => return change.words(),
        Step::Dump => "SHADOW.FUNCTION DUMP",
        Step::Rewrite => "BGREWRITEAOF",
        Step::Save => "SAVE",
        Step::SaveInBackground => "BGSAVE",
        Step::Wait => "WAIT 1 0",
    };
    line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}
