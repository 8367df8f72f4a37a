// Package processor is the engine: it reads coupon-grant requests from Kafka,
// has the gateway grant each, and publishes one outcome or dead letter for each
// request, exactly once. It must never speak HTTP to the registry or gateway
// itself (schemas and topclient do), never know where its broker comes from,
// and only module.go may import fx.
//
// # Words
//
//	request       an event that asks for a coupon; its request_id is Tmall's out_id
//	attempt       one call of the gateway for a request
//	end           what a record comes to: an outcome or a dead letter; parking ends a record, too, but not its request
//	outcome       granted or failed
//	dead letter   a record that ends without outcome, kept whole where it fits, with the reason
//	park          to hand a request over to the retry topic, since it would hold up its partition here
//	lane          the requests of one key in one partition, in offset order; one is called at a time
//	window        the records of a partition from the watermark to the newest that was taken in
//	watermark     of a partition: below it every record's end is committed
//	finished set  the records above the watermark whose ends are committed already
//	ceiling       of a partition: below it records may have been called, committed before they are
//	in doubt      said of a request that may have been granted by a call of which nothing is known for certain
//	epoch         the time from one assignment of a partition to us to its end
//	session       one life of the Kafka client, from reading what is committed to an error or the end
//	nonce         names one transaction of one session in what it commits
//	slot          leave for one call at once: there are gateway.max_in_flight
//	leave         to call now: a slot, the quota, the breaker and the gate all let it
//	lease         how long a silent coordinator may be taken to think that our partitions are ours
//	hold          a stated reason why a partition, or everything, waits; neither fault nor hang
//	probe         a call that is let through to see whether a trouble is over
//	gate          what stops all calls, but for a probe now and then: a ban, trouble with our app, or the guard
//	guard         shuts the gate when most of what we send is refused as wrong
//	word about all  an answer that says something of everybody, a ban or trouble with our app, though it may be of one alone
//	supply        the requests of a partition in one epoch that can be called, and the ceiling that lets more be
//	hand-over     what leaves us in a rebalance is finished and committed before it goes
//	repeat        a record with the request_id of another, which may have been granted
//	recollection  the request ids of the newest records that had ended in a partition when it came to us
//	trail         what became of a record, for people
//
// # The way of a record
//
//	Kafka ──poll──▶ admit ──▶ decode ──▶ lane ──▶ attempt ──▶ verdict ──▶ outcome ──▶ transaction ──▶ Kafka
//	      session   window    decode     lanes    attempt     policy      outcome     transaction
//	      └──────── session goroutine ──┘└── scheduler goroutine ───────┘└──── session goroutine ───┘
//
// One direction: nothing later calls anything earlier. What comes back to an
// earlier step is data in a mailbox: ends, wishes for a higher ceiling, bans, the
// calls in flight.
// HTTP never happens inside a transaction; a transaction is open for the
// milliseconds of Begin, Produce, commit offsets, End.
//
// # States
//
// A record in its window (window.go; offsets grow to the right):
//
//	        committed offset              committed ceiling
//	            │ watermark                   │                 next
//	            ▼                             ▼                  ▼
//	  ──ended───┼──ended──called──called──called──┼──waits──waits──┼── not yet polled
//	            └─ finished above the watermark waits for the ones below it
//
//	polled ─▶ unfinished ─▶ finished ─▶ committed (then forgotten)
//	   └───▶ dropped: below next (redelivered), or in the finished set read back
//
// A record found between watermark and ceiling by a new owner is in doubt: its
// predecessor may have called for it.
//
// A partition (assignment.go): unassigned ─▶ assigned (an epoch opens when its
// committed offset and metadata are read, and what its newest ended records asked
// for, before its first poll) ─▶ dropped (revoked, lost, found missing when a commit
// looked, or when others came). Work of an older epoch is counted and thrown away.
// Held: its metadata cannot be read, its input has a gap, or an end is too large for
// its topic; it is paused until a person decides. Overtaken: retention took what was
// to be read next; it is paused, what was read ends, and then it is held, or gone
// over with --accept-lost-input.
//
// # Who owns what
//
//	goroutine     started by     ends when             owns
//	session       Processor.Run  ctx ends, or an error  kgo session, windows, transaction
//	scheduler     session        told to, calls drained lanes, timers, slots, gate
//	caller (n)    scheduler      idle a second, or told one call at a time; n <= gateway.max_in_flight
//	awaited       session        its poll returns       nothing; ends a waiting poll when the bell rings
//	background    Start          Run returns            nothing; reports a fatal error
//	resolver      session        told to                nothing; fetches writer's schemas
//	unread        session        told to                nothing; asks how far the inputs reach
//	patience      transaction    it returns             nothing; asks whether the one before has ended
//	inTime        unread, patience, session  its request returns nothing; one request to the brokers, which its asker does not wait for
//	watchdog      Processor.Run  Run returns            nothing; sees a wedged session goroutine, and that nothing moves
//	callbacks     kgo            return                 what they were told is committed, what is not open yet, what was decompressed (a mutex each); leave messages in the session's mailbox
//
// Session and scheduler share no state but what has a lock of its own (recent ends,
// holds, traces): each has a mailbox, and a task belongs to the scheduler from the
// moment it is handed over until its end comes back.
// Whoever looks at them reads what each has published last (sight.go), or asks the
// scheduler through its mailbox, and never waits for the session.
//
// # The ten rules
//
// Of using kgo.GroupTransactSession with commits rewritten to a watermark. Each
// with the test that fails without it.
//
//	 1 One goroutine polls, begins, produces, flushes, ends.        TestSessionOwnsTheClient
//	 2 The window is the only truth on what was taken in.           TestRedeliveredRecordsAreDropped, control windows-cleared
//	 3 A transaction holds exactly the ends its commit covers.      TestCommitCoversExactlyItsEnds
//	 4 The commit is rewritten to watermark and metadata.           TestCommitIsRewrittenToTheWatermark
//	 5 Ownership is checked where the commit is made.               TestSlowCallsAcrossTwoRebalances, control ownership-filter
//	 6 After an abort results are kept and go out again.            TestAbortKeepsResults, control windows-cleared
//	 7 An unexplained abort of ends is looked up, RequireStable.    TestUnknownCommitIsLookedUp, on real Kafka too;
//	                                                                control unstable-proof
//	 8 After an error the session is rebuilt; End is never          TestLostEndTxnAnswer
//	   cancelled by a stop.
//	 9 A failed produce aborts; too large shrinks, and an outcome   TestFailedProduceAborts, control promise-errors
//	   never changes its kind.
//	10 ProducerID before the first poll; an explicit start offset;  TestFirstAbortDoesNotRewind
//	   no silent reset.
//
// And the one that makes doubt survive: a record is called only below its
// partition's committed ceiling (TestDoubtSurvivesACrash, control ceiling).
//
// # What is not obvious
//
//   - kgo's belief of what is committed is the polled heads, not our watermark.
//     After an abort it rewinds to its belief, so records between the watermark
//     and there exist in our windows only.
//   - kgo swallows OnPartitionsRevoked after the first one until End is called, and
//     OnPartitionsLost after the first of that.
//   - kgo keeps one fetch of each broker, and fetches there again only when all of
//     it is polled or paused: to poll less than there is keeps other topics out.
//   - BlockRebalanceOnPoll: between a poll and AllowRebalance no partition can
//     change hands, so a polled record always meets the window it was fetched for.
//   - Brokers answer EndTxn before each partition has taken its marker, which one that
//     lacks replicas does not. Until then all of the next transaction is refused; and if
//     the end of that is given up, kgo's client is of no use any more.
//   - Transactions end in markers, which take an offset each and no end: the
//     watermark passes them with the record before.
//
// # Files, in the order of the record
//
//	processor.go    Processor: New, Run, Start, Stop, Health; builds sessions
//	client.go       how the Kafka client is set up
//	preflight.go    what must be there before the group is joined
//	rights.go       what the brokers must allow us
//	unreachable.go  why brokers cannot be talked to, and the mend
//	session.go      the loop: take news, commit, poll; drain
//	assignment.go   what the group callbacks tell; gaps in the input
//	ownership.go    how the session acts on it
//	intake.go       polled records into windows, then decoded; what a poll complains of
//	inflation.go    what fetched batches may grow to
//	unread.go       what is not read although it could be
//	unopened.go     what came to us and cannot be opened
//	decode.go       record to request or dead letter; the resolver
//	asked.go        whether a request id has asked for something else before
//	grants.go       whether one may have been granted before, and which coupon
//	newest.go       the table in which both remember
//	recollection.go what was asked for in a partition before it came to us
//	task.go         a record on its way, and its end
//	window.go       one partition: watermark, ceiling, what is finished
//	position.go     what one commit says of it
//	windows.go      all partitions of the replica, each under its epoch
//	lanes.go        the requests of one key, in order
//	scheduler.go    who is called when: what it owns, and is told
//	dispatch.go     starting calls, until something does not let it
//	callers.go      the goroutines that make calls
//	supply.go       which ceilings keep the calls supplied
//	roll.go         who has no end yet, in order
//	turns.go        whose turn it is, and who is due later
//	answering.go    the clock that runs while the gateway answers others
//	gate.go         bans, an app in trouble, most answers refusing what we send
//	guard.go        when that is
//	trouble.go      what a person reads of it
//	quota.go        this replica's share of the fleet's rate
//	budget.go       and of the calls of its day
//	lease.go        how long that share is known to be ours
//	attempt.go      one call of the gateway
//	judge.go        an answer is counted, judged, acted on
//	alone.go        who alone gets a word that stops everybody
//	parking.go      who is parked although no answer says so
//	policy.go       what an answer means
//	policytable.go  the same of every answer, for people
//	outcome.go      an end as the record to publish
//	handover.go     what leaves us is finished and committed first
//	commit.go       what goes into the next transaction, and what after it
//	transaction.go  Begin to End, the rewritten commit, the proof
//	unproven.go     who waits after one that failed
//	refused.go      what a refused produce means
//	metadata.go     the commit metadata
//	holds.go        why something waits
//	contact.go      whether any broker answers
//	watchdog.go     whether the session goroutine passes
//	progress.go     whether anything moves
//	sight.go        what session and scheduler show of themselves
//	status.go       the same, for people
//	why.go          in one sentence, why a partition or a request waits
//	spell.go        durations in such sentences
//	recent.go       what became of the newest records
//	trail.go        the same, for people
//	mailbox.go      how the goroutines talk
//	metrics.go      what is counted on the way
//	statusmetrics.go what follows from Status
//	clientmetrics.go those of the Kafka client
//	tracing.go      the spans of a request
//	config.go, module.go
//
// Planted bugs that the tests must see are patches in testdata/controls, laid
// over the sources by TestPlantedBugsAreSeen.
package processor
