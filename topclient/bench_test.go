package topclient

func serveBenchmarks() bool { return false }
