// A greeter as a plain program, run once for each message: one JSON object on standard input, the reply on standard
// output. What it prints on standard error is logged; to exit with another code than 0 is to refuse the message.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	var message struct {
		From, Type string
		Payload    any
	}
	if err := json.NewDecoder(os.Stdin).Decode(&message); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("Hello, %v, from Go!", message.Payload)
}
