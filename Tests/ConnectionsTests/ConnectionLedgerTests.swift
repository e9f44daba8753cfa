// Who may be connected at once, who gives up a place to whom, and what all may hold.
import Connections
import Synchronization
import Testing

@Suite struct ConnectionLedgerTests {
    typealias Ledger = ConnectionLedger<String>

    private final class Port: Sendable {
        let ledger: Ledger
        private let closed = Mutex<[String]>([])

        init(strangersPerAddress: Int, connectionsMax: Int) {
            ledger = Ledger(strangersPerAddress: strangersPerAddress, connectionsMax: connectionsMax)
        }

        func admit(_ name: String, from network: String?) -> Bool {
            ledger.admit(name, network: network) { [self] in
                closed.withLock { $0.append(name) }
                ledger.end(name)
            }
        }

        /// Who has been displaced since the last look.
        func displaced() -> [String] {
            closed.withLock { closed in
                defer { closed = [] }
                return closed
            }
        }

        func figure(_ name: String) -> Int? {
            ledger.metrics(of: "x").split(separator: "\n").first { $0.hasPrefix("ringway_x_\(name) ") }
                .flatMap { $0.split(separator: " ").last }.flatMap { Int($0) }
        }
    }

    @Test func address__has_a_number_of_strangers_and_any_number_of_others() {
        let port = Port(strangersPerAddress: 3, connectionsMax: 100)
        for index in 0..<3 { #expect(port.admit("\(index)", from: "10.0.0.1")) }
        #expect(!port.admit("3", from: "10.0.0.1"))
        #expect(port.admit("4", from: "10.0.0.2"))
        port.ledger.trust("0")
        port.ledger.trust("0")
        #expect(port.admit("5", from: "10.0.0.1"))
        #expect(!port.admit("6", from: "10.0.0.1"))
        port.ledger.end("1")
        port.ledger.end("1")
        port.ledger.end("0")
        #expect(port.admit("7", from: "10.0.0.1"))
        #expect(!port.admit("8", from: "10.0.0.1"))
        #expect(port.figure("connections") == 4)
        #expect(port.figure("peers_refused_total") == 3)
        #expect(port.displaced() == [])
    }

    @Test func all_addresses__leave_a_quarter_and_who_has_most_makes_room() {
        let port = Port(strangersPerAddress: 4, connectionsMax: 16)
        for address in 1...3 {
            for index in 0..<4 { #expect(port.admit("\(address)-\(index)", from: "10.0.0.\(address)")) }
        }
        // Twelve of sixteen. Newcomers from elsewhere take places, the oldest of a busy address first.
        port.ledger.end("3-0")
        #expect(port.admit("3-4", from: "10.0.0.3"))
        #expect(port.admit("a", from: "10.0.1.1"))
        #expect(port.admit("b", from: "10.0.1.2"))
        #expect(port.admit("c", from: "10.0.1.3"))
        #expect(Set(port.displaced()) == ["1-0", "2-0", "3-1"])
        #expect(port.figure("peers_displaced_total") == 3)
        // Those that have become few are not robbed by who has as many, nor by who has had its share.
        for (name, address) in [("1-4", 1), ("2-4", 2)] { #expect(!port.admit(name, from: "10.0.0.\(address)")) }
        #expect(port.admit("a2", from: "10.0.1.1"))
        #expect(port.displaced().count == 1)
        #expect(!port.admit("a3", from: "10.0.1.1"))
        #expect(port.displaced() == [])
        // Whoever has shown a token is none of them any more, and gives up nothing.
        for name in ["a", "a2", "b", "c"] { port.ledger.trust(name) }
        #expect(port.figure("connections") == 12)
    }

    @Test func last_place__is_no_strangers() {
        let port = Port(strangersPerAddress: 4, connectionsMax: 8)
        for index in 0..<4 {
            #expect(port.admit("t\(index)", from: "10.0.0.9"))
            port.ledger.trust("t\(index)")
        }
        for index in 0..<3 { #expect(port.admit("\(index)", from: "10.0.0.1")) }
        // Seven of eight.
        #expect(port.admit("new", from: "10.0.0.2"))
        #expect(port.displaced() == ["0"])
        #expect(port.admit("newer", from: "10.0.0.3"))
        #expect(port.displaced() == ["1"])
        #expect(!port.admit("last", from: "10.0.0.4"))
        #expect(port.displaced() == [])
        #expect(port.figure("connections") == 7)
        port.ledger.trust("new")
        #expect(!port.admit("last", from: "10.0.0.4"))
        port.ledger.end("newer")
        #expect(port.admit("last", from: "10.0.0.4"))
        // Of the smallest port one place is anybody's.
        for size in [1, 2] {
            let small = Port(strangersPerAddress: 4, connectionsMax: size)
            #expect(small.admit("a", from: "10.0.0.1"))
            #expect(!small.admit("b", from: "10.0.0.2"))
        }
    }

    @Test func many_addresses_with_one_each__do_not_push_each_other_out() {
        let port = Port(strangersPerAddress: 4, connectionsMax: 16)
        for index in 0..<100 { #expect(port.admit("\(index)", from: "10.0.1.\(index)") == (index < 12)) }
        #expect(port.displaced() == [])
        #expect(port.figure("peers_refused_total") == 88)
    }

    @Test func displaced__gives_back_what_it_holds_and_is_counted_no_more() {
        let port = Port(strangersPerAddress: 4, connectionsMax: 4)
        for name in ["a", "b", "c"] { #expect(port.admit(name, from: "10.0.0.1")) }
        #expect(port.ledger.take(1000, for: "a"))
        #expect(port.admit("d", from: "10.0.0.2"))
        #expect(port.displaced() == ["a"])
        #expect(port.figure("request_bytes") == 0)
        #expect(!port.ledger.take(1, for: "a"))
        port.ledger.give(1000, of: "a")
        port.ledger.trust("a")
        port.ledger.end("a")
        #expect(port.figure("request_bytes") == 0)
        #expect(port.figure("connections") == 3)
    }

    @Test func proxy__and_an_unbounded_ledger_have_no_share() {
        let port = Port(strangersPerAddress: 3, connectionsMax: 16)
        for index in 0..<100 { #expect(port.admit("\(index)", from: nil)) }
        let unbounded = Port(strangersPerAddress: 0, connectionsMax: 16)
        for index in 0..<100 { #expect(unbounded.admit("\(index)", from: "10.0.0.1")) }
        #expect(unbounded.displaced() == [])
        #expect(unbounded.ledger.take(Ledger.requestBytesMax, for: "0"))
        #expect(!unbounded.ledger.take(1, for: "1"))
    }
}
