export default function P(_: { id?: string; tab?: string; rule?: string }) { return null }
