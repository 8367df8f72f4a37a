// Package topclient calls tmall.nrt.coupon.send, the API of the Taobao Open
// Platform (TOP) that grants a Tmall coupon to a member.
//
// One call goes through the files in this order:
//
//	config.go       what a Client needs to know, checked
//	credentials.go  whose app calls: read from files, read again when they change
//	secret.go       a text that does not print
//	request.go      Grant -> one JSON text
//	form.go         credentials and that text -> the text to sign, and the form
//	sign.go         the three signatures
//	client.go       Client.Send: the one attempt
//	transport.go    connections
//	departure.go    the request, and whether a byte of it left
//	response.go     HTTP answer, unpacked, at most 64 KiB -> tree -> Coupon or Error, by the files below
//	tree.go         JSON or XML -> one kind of tree
//	json.go         JSON -> tree, strictly, in one pass
//	envelope.go     tree -> coupon, code, sub-code, message
//	codes.go        code and sub-code -> whom it is about, may it have granted
//	codetable.go    the same as a table, for people
//	errors.go       Error, the answer of an attempt that granted nothing we know of
//	clean.go        foreign text made fit to print; what we sent taken out of it
//
// # What an attempt tells
//
// Two independent things: whom the answer is about (Error.About) and whether a
// coupon may have been granted all the same (Error.MayHaveGranted). A timeout is
// about the gateway and may have granted; "limit reached" is about the request
// and granted nothing; an expired session is about the app. What is not listed
// in codes.go is about nobody known and may have granted. A Coupon comes back
// only if the answer holds the id of one.
//
// A caller that repeats an attempt that may have granted must keep Grant.OutID,
// which is what the gateway recognises a repeat by. How long it does so, and
// whether it looks at limits first, is not documented: a refusal on a repeat is
// no proof that the first attempt granted nothing.
//
// # What stays out
//
// No retry, no waiting, no rate limit: Send makes exactly one attempt, follows
// no redirect, and its transport replays nothing. No Kafka, no metrics, no
// logging: everything a caller may want to count or log is in the Error. No
// other API of the platform.
//
// # What is never printed
//
// The app secret, the session, the signature and the open_id stand in no error,
// and not in the printed form of any type of this package, whatever the gateway
// echoes. One thing is out of reach: net/http quotes, through the standard
// library's log package, bytes that a server sends after the end of its answer.
// A program that keeps logs should not let that package write to them.
package topclient
