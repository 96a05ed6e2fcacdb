//! Looks for bytes that break a promise of the target of this name: see services/fuzz-targets.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::check("json", data));
