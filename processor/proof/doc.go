// Package proof recomputes the promises from what stands in the topics: every
// request record ended exactly once, and in the truth. The audit command and
// every test suite use it. It imports schemas alone of ours, never the engine,
// so that it cannot repeat a mistake of the engine, and it never writes.
//
//	check.go    Checker: records in, what is broken out; pure, no I/O
//	headers.go  which request record an end answers
//	outcomes.go whether an outcome speaks of its request
//	truth.go    outcomes against a gateway's ledger
//	records.go  what is remembered of each record: 40 bytes
//	digest.go   fingerprints that outcomes are compared by
//	report.go   Report, Verdict, and how a program reads them
//	text.go     how people read them
//	read.go     Read: one consistent look at the topics of a running system
//	scan.go     partitions from their start to a fixed end, under read_committed
//	retention.go what was deleted or could not be read
//	ledger.go   ReadLedger: what a gateway simulator granted
//	load.go     Load: seeded requests, so that a suite knows what it sent
//	flaw.go     what keeps some of them from being requests
package proof
