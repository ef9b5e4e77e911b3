// A greeter in Go as a core module: no WIT; docs/core-abi.md says how bytes pass.
package main

import (
	"fmt"
	"strconv"
	"unsafe"
)

var greeted int

func main() {} // never called: the node calls the functions below

//go:wasmimport plexspaces fail
func nodeFail(text string)

//go:wasmimport plexspaces tell
func nodeTell(to, msgType, payload string) int32

//go:wasmexport init
func initialize(state *byte, stateLen int32) int32 {
	if stateLen == 0 {
		return 0
	}
	count, err := strconv.Atoi(text(state, stateLen))
	if err != nil {
		return 1
	}
	greeted = count
	return 0
}

//go:wasmexport snapshot_state
func snapshotState() int64 {
	return reply(strconv.Itoa(greeted))
}

//go:wasmexport handle_request
func handleRequest(_ *byte, _ int32, msgType *byte, msgTypeLen int32, payload *byte, payloadLen int32) int64 {
	answer, err := answer(text(msgType, msgTypeLen), text(payload, payloadLen))
	if err != nil {
		nodeFail(err.Error())
	}
	return reply(answer)
}

func answer(msgType, text string) (string, error) {
	switch msgType {
	case "call", "greet":
		greeted++
		return fmt.Sprintf("Hello, %s, from Go! You are number %d.", text, greeted), nil
	case "count":
		return strconv.Itoa(greeted), nil
	case "tell":
		if status := nodeTell(text, "greet", "Go"); status < 0 {
			return "", fmt.Errorf("cannot tell %s: status %d", text, status)
		}
		return "told " + text, nil
	case "crash":
		panic(text)
	}
	return "", fmt.Errorf("unknown message type: %s", msgType)
}

// text copies what the node has put into memory.
func text(at *byte, len int32) string { return string(unsafe.Slice(at, len)) }

// The last reply: the node has copied it before it calls again.
var last []byte

func reply(text string) int64 {
	last = []byte(text)
	at := uintptr(unsafe.Pointer(unsafe.SliceData(last)))
	return int64(len(last))<<32 | int64(at)
}

// Where the node puts what it passes in: one buffer, made anew when it must be larger.
var buffer []byte

//go:wasmexport alloc
func alloc(size int32) *byte {
	buffer = make([]byte, size)
	return unsafe.SliceData(buffer)
}
