//! What the files hold: how it is made, and what a server has of it.

use serde_json::{Value as Json, json};

use crate::support::{Client, Value, library};

/// Functions that answer in many ways: the flags, a text that is compressed in a file, one that is not ASCII.
const GREETINGS: &str = "#!lua name=greetings
-- Bonjour, здравствуйте, 你好: a text of several alphabets.
redis.register_function{function_name = 'greet', description = 'says a word', flags = {'no-writes'},
    callback = function(KEYS, ARGV) return 'Grüße, ' .. ARGV[1] end}
redis.register_function{function_name = 'repeat_it', flags = {'no-writes', 'allow-stale'},
    callback = function(KEYS, ARGV) return ('abcabcabcabcabcabcabcabcabcabcabcabcabc'):sub(1, 9) .. ARGV[1] end}
";

/// As short as can be, and without an end of its last line.
const SHORT: &str = "#!lua name=s\nredis.register_function{function_name='s',callback=function()return 1 end,\
                     flags={'no-writes'}}";

/// One that reads a key.
const STORE: &str = "#!lua name=store
redis.register_function{function_name = 'stored', flags = {'no-writes'},
    callback = function(KEYS, ARGV) return redis.call('GET', KEYS[1]) end}
redis.register_function('store', function(KEYS, ARGV) return redis.call('SET', KEYS[1], ARGV[1]) end)
";

/// What the first line says of keys is the module's own: no server has it.
const DECLARED: &str = "#!lua name=declared keys=declared
redis.register_function{function_name = 'declared', flags = {'no-writes'},
    callback = function(KEYS, ARGV) return 'declared ' .. ARGV[1] end}
";

/// Not one of those that are deployed.
const LATER: &str = "#!lua name=later
redis.register_function{function_name = 'later', flags = {'no-writes'},
    callback = function(KEYS, ARGV) return {'later', ARGV[1]} end}
";

/// Scripts by LOAD, by EVAL, and one with a first line.
const LOADED_SCRIPT: &str = "return redis.call('GET', KEYS[1])";
const EVALUATED_SCRIPT: &str = "return 'Grüße, ' .. ARGV[1]";
const FLAGGED_SCRIPT: &str = "#!lua flags=no-writes,allow-stale\nreturn {1, 2, ARGV[1]}";
const LATER_SCRIPT: &str = "return ARGV[1] .. ' later'";

/// The key that all files hold, beside the module's field.
const KEY: &str = "key";

fn done(reply: &Value) {
    assert!(!reply.is_error(), "{reply:?}");
}

/// Sets the key that a function and a script read.
pub fn set_key(client: &mut Client) {
    done(&client.call(&["SET", KEY, "value"]));
}

/// Libraries that the server takes as well, one by one, and no script.
pub fn prepare_loaded(client: &mut Client) {
    set_key(client);
    [GREETINGS, SHORT, STORE].into_iter().for_each(|source| library::load(client, source));
}

/// A version of all libraries, and scripts.
pub fn prepare_deployed(client: &mut Client) {
    set_key(client);
    library::load(client, LATER);
    done(&client.run("CLIENT SETNAME deployer"));
    let head = ["SHADOW.FUNCTION", "DEPLOY", "VERSION", "release-1.0:a"];
    done(&client.call(&[head.as_slice(), &[GREETINGS, SHORT, STORE, DECLARED]].concat()));
    done(&client.call(&["SHADOW.SCRIPT", "LOAD", LOADED_SCRIPT]));
    for script in [EVALUATED_SCRIPT, FLAGGED_SCRIPT] {
        done(&client.call(&["SHADOW.EVAL", script, "1", KEY, "argument"]));
    }
}

/// What comes after a file was rewritten.
pub fn prepare_more(client: &mut Client) {
    done(&client.call(&["SHADOW.FUNCTION", "DELETE", "s"]));
    library::load(client, LATER);
    done(&client.call(&["SHADOW.EVAL", LATER_SCRIPT, "1", KEY, "argument"]));
    done(&client.call(&["SHADOW.FCALL", "store", "1", KEY, "changed"]));
}

/// What a server has.
#[derive(Debug, PartialEq)]
pub struct Contents {
    key: Json,
    /// Name and source, in the order of the names.
    libraries: Vec<(String, String)>,
    /// What each function that writes nothing answers, in the order of the names.
    replies: Vec<(String, Json)>,
    /// The label, the hash of all sources, the time, the client and the user of the last deploy; nulls without one.
    version: Vec<(String, Json)>,
    /// How each script came to the cache, its text, and what it answers; in the order of the texts.
    scripts: Vec<(String, String, Json)>,
}

/// The fields of VERSIONS that a file has.
const VERSION: [&str; 5] = ["version", "sha256", "deployed_at_ms", "client", "user"];

impl Contents {
    /// All that the module has.
    pub fn of(client: &mut Client) -> Self {
        let current = client.run("SHADOW.FUNCTION VERSIONS").items().swap_remove(0);
        let version = VERSION.map(|name| (name.to_owned(), plain(&current.field(name).expect("the field"))));
        let list = client.run("SHADOW.SCRIPT LIST WITHCODE").items();
        let text = |script: &Value, name: &str| script.field(name).expect("the field").text();
        let mut scripts: Vec<_> = list
            .iter()
            .map(|script| {
                let reply = client.call(&["SHADOW.EVALSHA_RO", &text(script, "sha1"), "1", KEY, "argument"]);
                (text(script, "origin"), text(script, "code"), plain(&reply))
            })
            .collect();
        scripts.sort_by(|one, other| one.1.cmp(&other.1));
        Self { version: version.into(), scripts, ..Self::of_registry(client, "SHADOW.") }
    }

    /// The libraries alone, of the module or of the server itself: `prefix` begins the names of its commands.
    pub fn of_registry(client: &mut Client, prefix: &str) -> Self {
        let list = client.call(&[&format!("{prefix}FUNCTION"), "LIST", "WITHCODE"]).items();
        let text = |library: &Value, name: &str| library.field(name).expect("the field").text();
        let mut libraries: Vec<_> =
            list.iter().map(|library| (text(library, "library_name"), text(library, "library_code"))).collect();
        libraries.sort();
        let functions = list.iter().flat_map(|library| library.field("functions").expect("the field").items());
        let mut names: Vec<_> = functions
            .filter(|function| function.field("flags").expect("the field").sorted_texts().contains(&"no-writes".into()))
            .map(|function| function.field("name").expect("the field").text())
            .collect();
        names.sort();
        let mut call = |name: &str| plain(&client.call(&[&format!("{prefix}FCALL_RO"), name, "1", KEY, "argument"]));
        let replies = names.into_iter().map(|name| (name.clone(), call(&name))).collect();
        let key = plain(&client.call(&["GET", KEY]));
        Self { key, libraries, replies, version: Vec::new(), scripts: Vec::new() }
    }

    /// As `holds.json` has it.
    pub fn to_json(&self) -> Json {
        let library = |(name, source): &(String, String)| json!({"name": name, "source": source});
        let script =
            |(origin, text, reply): &(String, String, Json)| json!({"origin": origin, "text": text, "reply": reply});
        json!({
            "key": self.key,
            "libraries": self.libraries.iter().map(library).collect::<Vec<_>>(),
            "replies": self.replies.iter().cloned().collect::<serde_json::Map<_, _>>(),
            "version": self.version.iter().cloned().collect::<serde_json::Map<_, _>>(),
            "scripts": self.scripts.iter().map(script).collect::<Vec<_>>(),
        })
    }
}

/// A reply as JSON.
fn plain(reply: &Value) -> Json {
    match reply {
        Value::Null => Json::Null,
        Value::Integer(number) => json!(number),
        Value::Array(items) => Json::Array(items.iter().map(plain).collect()),
        Value::Error(text) => json!({"error": text}),
        other => json!(other.text()),
    }
}
