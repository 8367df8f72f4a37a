// Package bench measures the program on a real cluster, each figure beside its
// own baseline in the same session. It knows the engine only as a process: what
// is measured is what users run.
//
// The parts of a run are processes of their own, so that the processor time of
// each can be told apart (/proc, so Linux only): the gateway, which grants after
// an exact time and does nothing else, and what is measured, an "arm":
//
//	http    posts to the gateway, as many at once as the others; no Kafka
//	loop    consumes, calls, produces, and promises nothing: offsets are committed
//	        every five seconds whatever became of the records, keys have no order,
//	        nothing is retried. Same decoding, same gateway client, same outcome
//	tx      consumes, and produces the outcome in a transaction with the offsets,
//	        one for each poll; no call. What exactly-once costs without us
//	engine  coupongrant run
//
// This process writes the requests and reads the outcomes, read_committed.
// Under a backlog all requests are there before the arm starts, and what counts
// is how many outcomes a second become visible once it has warmed up. At a rate
// every request has a time at which it is due, and its time runs from there until
// its outcome is visible, whatever the writer, the broker or the arm did
// meanwhile (no coordinated omission).
//
// A case is some kinds of runs, made in turns, in an order that changes from turn
// to turn. A measure is the median over the turns.
//
//	bench.go    Run: the cases asked for, their results
//	cases.go    the cases and what each must show
//	spec.go     what one kind of run is
//	trial.go    one run, from its topics to its figures
//	sample.go   a look at its processes, and the figures between two of them
//	load.go     the requests, and when they are written
//	arrivals.go when their outcomes are visible
//	process.go  starting, sampling and ending the processes
//	part.go     what they do: gateway, http
//	arms.go     and loop and tx
//	cluster.go  topics and schemas of a run
//	measure.go  from runs to one number and whether it holds
//	result.go   what is kept of a case, and how people read it
//	figure/     numbers and drawings of the pages
//
// docs/performance.md and its plots are made from the results by page_test.go.
package bench
