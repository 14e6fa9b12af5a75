//! Connections.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ptr;

use redis_module::raw;

use super::{Context, ServerString, api, checked};

/// A connection. The server gives a number to each and uses it once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientId(u64);

impl ClientId {
    /// That of this number.
    pub(super) const fn new(number: u64) -> Self {
        Self(number)
    }

    /// That whose command is running; one that is not connected for a caller that is no client.
    pub fn of_caller(context: &Context) -> Self {
        // SAFETY: Living context.
        Self(unsafe { api!(RedisModule_GetClientId)(context.raw()) })
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whether it is still there.
    pub fn is_connected(self) -> bool {
        // SAFETY: without a place for the answer the call only says whether there is a client of that id.
        checked(unsafe { api!(RedisModule_GetClientInfoById)(ptr::null_mut(), self.0) }).is_ok()
    }

    /// Its address and port, as the server's slow log writes them; empty for one that is not connected.
    pub fn address(self) -> Vec<u8> {
        let mut info = MaybeUninit::<raw::RedisModuleClientInfo>::zeroed();
        // SAFETY: All-zero bytes are a valid value, whose version is set before the call reads it. The server fills it
        // if it knows the version, and ends the address with a NUL.
        unsafe {
            (*info.as_mut_ptr()).version = raw::REDISMODULE_CLIENTINFO_VERSION.into();
            if checked(api!(RedisModule_GetClientInfoById)(info.as_mut_ptr().cast(), self.0)).is_err() {
                return Vec::new();
            }
            let info = info.assume_init();
            let address = CStr::from_ptr(info.addr.as_ptr()).to_string_lossy().into_owned();
            let host = if address.contains(':') { format!("[{address}]") } else { address };
            format!("{host}:{}", info.port).into_bytes()
        }
    }

    /// The name of its user; empty for none.
    pub fn user(self, context: &Context) -> Vec<u8> {
        // SAFETY: Living context. The name is a new string, which we own.
        let name = unsafe { ServerString::own(api!(RedisModule_GetClientUserNameById)(context.raw(), self.0)) };
        name.map(|name| name.bytes().to_vec()).unwrap_or_default()
    }

    /// The name that it has set; empty for none.
    pub fn name(self, context: &Context) -> Vec<u8> {
        // SAFETY: Living context. The name is a new string, which we own.
        let name = unsafe { ServerString::own(api!(RedisModule_GetClientNameById)(context.raw(), self.0)) };
        name.map(|name| name.bytes().to_vec()).unwrap_or_default()
    }
}
