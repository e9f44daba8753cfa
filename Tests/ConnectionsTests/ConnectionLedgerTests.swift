// Who may be connected at once, and what they may hold.
import Connections
import Testing

@Suite struct ConnectionLedgerTests {
    private let ledger = ConnectionLedger<String>(strangersPerAddress: 3)

    @Test func address__has_a_number_of_strangers_and_any_number_of_others() {
        for index in 0..<3 { #expect(ledger.admit("\(index)", network: "10.0.0.1")) }
        #expect(!ledger.admit("3", network: "10.0.0.1"))
        #expect(ledger.admit("4", network: "10.0.0.2"))
        ledger.trust("0")
        ledger.trust("0")
        #expect(ledger.admit("5", network: "10.0.0.1"))
        #expect(!ledger.admit("6", network: "10.0.0.1"))
        ledger.end("1")
        ledger.end("1")
        ledger.end("0")
        #expect(ledger.admit("7", network: "10.0.0.1"))
        #expect(!ledger.admit("8", network: "10.0.0.1"))
        #expect(ledger.metrics(of: "grpc").contains("ringway_grpc_connections 4\n"))
        #expect(ledger.metrics(of: "grpc").contains("ringway_grpc_peers_refused_total 3\n"))
    }

    @Test func proxy__and_an_unbounded_ledger_have_no_share() {
        for index in 0..<100 { #expect(ledger.admit("\(index)", network: nil)) }
        let unbounded = ConnectionLedger<String>(strangersPerAddress: 0)
        for index in 0..<100 { #expect(unbounded.admit("\(index)", network: "10.0.0.1")) }
        #expect(unbounded.take(ConnectionLedger<String>.requestBytesMax, for: "0"))
        #expect(!unbounded.take(1, for: "1"))
    }
}
