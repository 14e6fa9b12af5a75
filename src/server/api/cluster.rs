//! This server as a node of a cluster.

use std::ffi::{CStr, c_int};
use std::{ptr, slice};

use redis_module::raw;

use super::{Context, api, checked};

/// The name of this node; None outside of a cluster.
pub fn node_name() -> Option<Vec<u8>> {
    // SAFETY: takes nothing. In a cluster the server returns the address of a name of this length, which is copied
    // before the server can change it.
    unsafe {
        let name = api!(RedisModule_GetMyClusterID)().cast::<u8>();
        (!name.is_null()).then(|| slice::from_raw_parts(name, raw::REDISMODULE_NODE_ID_LEN as usize).to_vec())
    }
}

/// Whether the node of that name is a replica. An unknown node is none.
pub fn is_replica(context: &Context, name: &CStr) -> bool {
    let (no_text, no_number) = (ptr::null_mut(), ptr::null_mut());
    let mut flags: c_int = 0;
    // SAFETY: Living context, C strings. The server writes the flags, and skips what has a null place: the node's
    // address, its master's name, its port.
    let known = unsafe {
        api!(RedisModule_GetClusterNodeInfo)(context.raw(), name.as_ptr(), no_text, no_text, no_number, &raw mut flags)
    };
    checked(known).is_ok() && flags as u32 & raw::REDISMODULE_NODE_SLAVE != 0
}
