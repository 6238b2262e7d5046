#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sekisho_fuzzing::scp(data));
