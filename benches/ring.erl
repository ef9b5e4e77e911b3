%% The yardstick of the ring of actors: as many processes, the same hops, messages of the same size.
-module(ring).
-export([run/1]).

run(Arguments) ->
    [Actors, Hops] = [list_to_integer(It) || It <- Arguments],
    Me = self(),
    Last = spawn(fun() -> receive {next, Next} -> member(Next, Me) end end),
    First = lists:foldl(fun(_, Next) -> spawn(fun() -> member(Next, Me) end) end, Last, lists:seq(2, Actors)),
    Last ! {next, First},
    _ = round(First, Actors * 10),
    Started = erlang:statistics(runtime),
    {Wall, done} = timer:tc(fun() -> round(First, Hops) end),
    {Ended, _} = erlang:statistics(runtime),
    io:format("~p ~p~n", [Ended - element(1, Started), Wall div 1000]),
    halt().

round(First, Hops) ->
    First ! {hop, Hops, <<0:(60 * 8)>>},
    receive done -> done end.

member(Next, Starter) ->
    receive
        {hop, 0, _} -> Starter ! done;
        {hop, Left, Payload} -> Next ! {hop, Left - 1, Payload}
    end,
    member(Next, Starter).
