//! Flow logs: lines and blobs as Azure writes them, what agents tell, and what kernels tell agents.

use sekisho_nsg::flow::azure::{FlowTuple, Format, NsgBlob, VnetBlob};
use sekisho_nsg::flow::record::Batch;
use sekisho_nsg::flow::{counters, nflog, sockets};
use sekisho_nsg::netlink::conntrack;
use serde_json::Value;

const FORMATS: [Format; 3] = [Format::Nsg1, Format::Nsg2, Format::Vnet4];

/// A line that is read means the same after it was written, a blob is written as it was read, flows that are taken from an
/// agent are told on unchanged, and no message of a kernel is too strange to be read.
pub fn flow(data: &[u8]) {
    conntrack::read(data, |_| {});
    counters::read(data, |_, _| {});
    nflog::read(data, |_| {});
    sockets::read(data, |_| {});
    let Ok(text) = std::str::from_utf8(data) else { return };
    text.lines().for_each(line);
    if let Ok(blob) = serde_json::from_str::<NsgBlob>(text) {
        let written = serde_json::to_string(&blob).expect("a blob has a JSON form");
        assert_eq!(serde_json::from_str::<NsgBlob>(&written).expect("a blob is read back"), blob);
        let lines = blob.records.iter().flat_map(|r| &r.properties.flows).flat_map(|r| &r.flows);
        lines.flat_map(|f| &f.flow_tuples).for_each(|l| line(l));
    }
    if let Ok(blob) = serde_json::from_str::<VnetBlob>(text) {
        let written = serde_json::to_string(&blob).expect("a blob has a JSON form");
        assert_eq!(serde_json::from_str::<VnetBlob>(&written).expect("a blob is read back"), blob);
        let lines = blob.records.iter().flat_map(|r| &r.flow_records.flows).flat_map(|a| &a.flow_groups);
        lines.flat_map(|g| &g.flow_tuples).for_each(|l| line(l));
    }
    if let Ok(value) = serde_json::from_str::<Value>(text)
        && let Ok(batch) = Batch::read(&value)
    {
        assert_eq!(Batch::read(&Value::Object(batch.data())), Ok(batch));
    }
}

fn line(line: &str) {
    for format in FORMATS {
        let Ok(tuple) = FlowTuple::parse(line, format) else { continue };
        let written = tuple.text(format).expect("what was read can be written");
        let again = FlowTuple::parse(&written, format).expect("what was written can be read");
        // Early times are read as seconds.
        let early = format == Format::Vnet4 && tuple.at < 100_000_000_000;
        assert!(early || again == FlowTuple { delta: again.delta, ..tuple.clone() }, "{line}");
        assert!(again.delta == tuple.delta || tuple.delta.is_none());
    }
}
