package main

import "unsafe"

//go:wasmexport handle_request
func handleRequest(from *byte, fromLen int32, msgType *byte, msgTypeLen int32, payload *byte, payloadLen int32) int64 {
	name := string(unsafe.Slice(payload, payloadLen))
	return reply("Hello, " + name + "!")
}

func main() {} // never called: the node calls handle_request

var buffer, last []byte // what the node passes in, and what it got back: it has read the latter when it calls again

//go:wasmexport alloc
func alloc(size int32) *byte {
	buffer = make([]byte, size)
	return unsafe.SliceData(buffer)
}

// reply is the answer's length in the upper half, its address in the lower.
func reply(text string) int64 {
	last = []byte(text)
	return int64(len(last))<<32 | int64(uintptr(unsafe.Pointer(unsafe.SliceData(last))))
}
