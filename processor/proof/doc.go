// Package proof recomputes the promises from what stands in the topics: every
// request record ended exactly once, and in the truth. The audit command and
// every test suite use it. It imports schemas alone of ours, never the engine,
// so that it cannot repeat a mistake of the engine, and it writes nothing to the
// brokers.
//
//	check.go    Checker: records in, what is broken out
//	headers.go  which request record an end answers
//	outcomes.go whether an outcome speaks of its request
//	records.go  what is remembered: half a byte of each record, more of an open one
//	digest.go   fingerprints that records are compared by
//	facts.go    all records of a request id, held against each other
//	truth.go    and against a gateway's ledger
//	spool.go    fingerprints by bucket, on disk
//	state.go    a Checker kept from look to look
//	places.go   where breaches are, and so which of them are new
//	report.go   Report, Verdict, and how a program reads them
//	text.go     how people read them
//	reader.go   Reader: records and events, for other questions than the Checker's
//	commits.go  what the group has committed, and where to begin, for the same
//	read.go     Read: one consistent look at the topics of a running system
//	rounds.go   the history in rounds, so that it need not fit into memory
//	finished.go what the group has committed as finished above its watermark
//	rights.go   which right brokers refuse something for
//	scan.go     partitions from an offset to a fixed end, under read_committed
//	retention.go what was deleted or could not be read
//	ledger.go   ReadLedger: what a gateway simulator granted
//	load.go     Load: seeded requests, so that a suite knows what it sent
//	flaw.go     what keeps some of them from being requests
package proof
