module go_actor

go 1.24
