//! Any line on the control socket: read as a call and as the parameters of every method, or refused; paths come back as they went.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p2p_wire::control::{self, Call, PathText};
use serde::de::DeserializeOwned;
use serde_json::Value;

fuzz_target!(|line: &[u8]| {
    let Ok(call) = serde_json::from_slice::<Call>(line) else {
        return;
    };
    let params = call.params;
    read::<control::Hello>(&params);
    read::<control::ShareAdd>(&params);
    read::<control::ShareRef>(&params);
    read::<control::FetchAdd>(&params);
    read::<control::ItemList>(&params);
    read::<control::ItemRef>(&params);
    read::<control::ItemsRef>(&params);
    read::<control::ItemShow>(&params);
    read::<control::ItemSet>(&params);
    read::<control::ItemMove>(&params);
    read::<control::ItemRemove>(&params);
    read::<control::TrackerAdd>(&params);
    read::<control::TrackerRef>(&params);
    read::<control::Credentials>(&params);
    read::<control::PublishItem>(&params);
    read::<control::Search>(&params);
    read::<control::Limits>(&params);
    read::<control::ConfigSet>(&params);
    read::<control::Subscribe>(&params);
    if let Ok(text) = serde_json::from_value::<PathText>(params)
        && let Some(path) = text.to_path()
    {
        assert_eq!(PathText::from(path.as_path()).to_path(), Some(path));
    }
});

fn read<T: DeserializeOwned>(params: &Value) {
    // Refused is as good as read: neither may panic.
    let _ = serde_json::from_value::<T>(params.clone());
}
