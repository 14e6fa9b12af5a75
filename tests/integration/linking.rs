//! What the module takes from the C library.

use std::process::Command;

use crate::support::server::module_path;

/// Functions that allocate what their caller frees, or free or enlarge what their caller has allocated. Some servers
/// give the C library another allocator than the module's `free` belongs to.
const ALLOCATING: &[&str] = &[
    "__asprintf_chk",
    "__cxa_demangle",
    "__getdelim",
    "__isoc23_fscanf",
    "__isoc23_sscanf",
    "__isoc99_fscanf",
    "__isoc99_sscanf",
    "__strdup",
    "__strndup",
    "__vasprintf_chk",
    "argz_create",
    "asprintf",
    "backtrace_symbols",
    "canonicalize_file_name",
    "fscanf",
    "get_current_dir_name",
    "getdelim",
    "getline",
    "open_memstream",
    "open_wmemstream",
    "realpath",
    "scandir",
    "scandir64",
    "sscanf",
    "strdup",
    "strndup",
    "tdestroy",
    "tempnam",
    "vasprintf",
    "wcsdup",
];

#[test]
fn nothing_is_called_that_hands_memory_over() {
    let module = module_path();
    let output = Command::new("nm").args(["-D", "--undefined-only"]).arg(&module).output().expect("nm is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("names");
    let names: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().last()?.split('@').next()).collect();
    assert!(names.contains(&"free"), "{names:?}");
    let handing_over: Vec<&&str> = names.iter().filter(|name| ALLOCATING.contains(name)).collect();
    assert!(handing_over.is_empty(), "{handing_over:?}");
}
