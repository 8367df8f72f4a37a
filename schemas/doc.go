// Package schemas holds what a record means: the Avro contracts, the Go types
// they turn into, the codec between both, and the client of the Schema Registry
// that says which schema a record was written with.
//
// It knows no Kafka and no processor: it is handed values as bytes, and never
// decides what happens to them.
//
// # Reading order
//
//	*.avsc, history/  the contracts, and every published version of each
//	embed.go          the contracts inside the binary
//	request.go        Request, OpenID
//	outcome.go        Granted, Failed, the reasons
//	rules.go          which readable requests are valid
//	avro.go           an Avro schema as a tree
//	compat.go         whether one schema reads what another wrote
//	gate.go           which writer's schemas are accepted
//	scan.go           whether a value is what its schema says, before goavro sees it
//	project.go        a decoded value to the Go types, by field name
//	encode.go         the Go types to values
//	codec.go          the above in order: bytes to Request and Outcome, and back
//	registryconfig.go where the registry is, Password
//	hidden.go         what prints as [redacted]
//	registry.go       which id stands for which schema
//	inspect.go        what it holds of our subjects, for people
//	answers.go        what an answer of the registry is worth
//	cache.go          what the registry has said so far, bounded
//	transport.go      the HTTP client below it, bounded
//
// # A value on its way to a Request
//
// The wire format is a zero byte, the schema id in 4 bytes, big-endian, and
// binary Avro. Decode never does I/O: for an id it does not know it returns
// *NotFetchedError, the caller fetches it when it likes, and decodes again.
//
// # Traps of Avro and goavro, and what keeps us out of them
//
//   - goavro has no schema resolution. Decoding with the reader's schema swaps
//     reordered fields silently, so a value is decoded with its writer's schema,
//     must be used up to its last byte, and is projected by field name.
//   - goavro allocates what a block count asks for before it looks at the bytes:
//     a 5-byte value can end the process, and neither that nor a deep recursion
//     can be recovered. So every value is walked by scan.go first, which
//     allocates nothing and counts what it passes.
//   - A schema can be a bomb itself: recursive, deep, or a record of two records
//     of two records and so on, whose value takes no bytes. The gate and the
//     count of the scan stop these.
//   - goavro compiles logical types of its own invention (a pattern taken from
//     the schema, kept in a global map without a lock) and panics on incomplete
//     ones. It only ever gets a schema stripped to what decides the layout.
//   - goavro mangles names in the null namespace, so named types get numbers.
//   - goavro accepts strings that are not UTF-8. The scan does not.
//   - goavro's error texts hold bytes of the payload. They are never passed on.
package schemas
