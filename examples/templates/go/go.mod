module my-actor

go 1.24
