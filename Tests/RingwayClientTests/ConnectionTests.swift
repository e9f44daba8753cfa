// Dialling, the backoff, heartbeats, close codes and handovers.
import Testing

@testable import RingwayClient

@Suite struct ConnectionTests {
    @Test func start_dialsAndSaysHelloWithTheLastSeq() {
        var driver = Driver()
        #expect(driver.session.start(since: 41, now: driver.now).dials.count == 1)
        let hello = driver.open(token: "abc").written.first?.hello
        #expect(hello?.token == "abc" && hello?.sinceSeq == 41)
        #expect(driver.welcome().emitted == [.connected(resumedFrom: 41)])
    }

    @Test func start_isDoneOnce() {
        var driver = Driver.live()
        #expect(driver.session.start(since: 0, now: driver.now).isEmpty)
    }

    @Test func backoff_doublesToItsCapWithFullJitter() {
        var driver = Driver(random: 0.5)
        _ = driver.session.start(since: 0, now: driver.now)
        var waits: [Duration] = []
        for _ in 0..<9 {
            let error = RingwayError(code: "UNAVAILABLE", message: "no")
            for event in driver.session.openFailed(
                connection: driver.session.connection, error: error, now: driver.now
            ).emitted {
                if case .disconnected(_, let wait) = event { waits.append(wait) }
            }
            #expect(driver.pass(.seconds(10)).dials.count == 1)
        }
        #expect(waits == [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000].map { .milliseconds($0) })
    }

    @Test func backoff_startsAnewAfterAStableConnection() {
        var driver = Driver(random: 1)
        _ = driver.session.start(since: 0, now: driver.now)
        func wait(_ actions: [Action]) -> Duration? {
            if case .disconnected(_, let wait)? = actions.emitted.last { wait } else { nil }
        }
        for (life, expected) in [(0, 100), (0, 200), (1, 400), (6, 100), (0, 200)] as [(Int, Int)] {
            _ = driver.open()
            _ = driver.welcome()
            driver.now += .seconds(life)
            #expect(wait(driver.lose()) == .milliseconds(expected))
            _ = driver.pass(.seconds(10))
        }
    }

    @Test func gatewayThatDoesNotAnswer_isGivenUp() {
        var driver = Driver()
        _ = driver.session.start(since: 0, now: driver.now)
        _ = driver.open()
        let actions = driver.pass(.milliseconds(10_010))
        #expect(actions.first == .hangUp)
        #expect(actions.emitted.count == 1)
        #expect(driver.welcome().isEmpty, "a welcome that comes too late is for nobody")
    }

    @Test func heartbeat_isKept_theFirstAtARandomPart() {
        var driver = Driver.live(random: 0.1)
        #expect(driver.pass(.milliseconds(1499)).pings == 0)
        #expect(driver.pass(.milliseconds(2)).pings == 1)
        var pings = 0
        for _ in 0..<10 {
            pings += driver.pass(.seconds(15)).pings
            _ = driver.receive { $0.pong = .init() }
        }
        #expect(pings == 10)
    }

    @Test func silentPeer_isGivenUpAfterTwoAndAHalfHeartbeats() {
        var driver = Driver.live()
        #expect(!driver.pass(.seconds(49)).contains(.hangUp))
        let actions = driver.pass(.seconds(2))
        #expect(actions.contains(.hangUp) && actions.dials.count == 1)
    }

    @Test func silence_meansNothingWhileNobodyReads() {
        var driver = Driver.live()
        driver.session.pauseReading()
        #expect(!driver.pass(.seconds(120)).contains(.hangUp))
        driver.session.resumeReading(now: driver.now)
        #expect(!driver.pass(.seconds(49)).contains(.hangUp))
        #expect(driver.pass(.seconds(2)).contains(.hangUp))
    }

    @Test(arguments: [1000, 1001, 1006, 1011, 1013, 4000, 4001, 4002, 4003, 4499])
    func closeCode_thatIsNotFinal_reconnects(code: Int) {
        var driver = Driver.live()
        #expect(driver.lose(code).emitted.count == 1)
        #expect(driver.pass(.seconds(10)).dials.count == 1)
    }

    @Test(arguments: [(4500, "INTERNAL"), (4503, "UNAUTHENTICATED"), (4999, "UNAUTHENTICATED")])
    func closeCode_thatIsFinal_endsAndFailsTheSends(code: Int, error: String) throws {
        var driver = Driver.live()
        _ = try driver.send("a")
        let actions = driver.lose(code, "why")
        #expect(actions.settled == ["a": error])
        #expect(actions.emitted == [.closed(code: code, reason: "why")])
        #expect(driver.pass(.seconds(100)).isEmpty)
        #expect(throws: RingwayError.self) { try driver.send("b") }
    }

    @Test func rejectedToken_isReplacedOnce() {
        var driver = Driver.live()
        #expect(driver.lose(4501).dials.first?.tokenWasRejected == true)
        _ = driver.open()
        #expect(driver.lose(4501, "expired").emitted == [.closed(code: 4501, reason: "expired")])

        driver = Driver.live()
        _ = driver.lose(4501)
        _ = driver.open()
        _ = driver.welcome()
        #expect(driver.lose(4501).dials.count == 1, "a welcome in between makes it a new rejection")
    }

    @Test func refusedRefresh_isTheEnd() {
        var driver = Driver()
        _ = driver.session.start(since: 0, now: driver.now)
        let error = RingwayError(code: "UNAUTHENTICATED", message: "logged out")
        let actions = driver.session.openFailed(connection: 1, error: error, now: driver.now)
        #expect(actions.emitted == [.closed(code: 4501, reason: "logged out")])
    }

    @Test func reconnectFrame_handsOverWhenItSays() {
        var driver = Driver.live()
        _ = driver.receive {
            $0.reconnect.afterMs = 3000
            $0.reconnect.url = "ws://other/ws"
        }
        #expect(driver.event(1).seqs == [1], "until then the session goes on")
        #expect(driver.pass(.milliseconds(2999)).dials.isEmpty)
        let actions = driver.pass(.milliseconds(2))
        #expect(actions.first == .hangUp)
        #expect(actions.dials.first?.url == "ws://other/ws")
        // That gateway is not there: back to the assigned one.
        let error = RingwayError(code: "UNAVAILABLE", message: "no")
        _ = driver.session.openFailed(connection: driver.session.connection, error: error, now: driver.now)
        #expect(driver.pass(.seconds(10)).dials.first?.url == nil)
    }

    @Test func reconnectFrame_holdsWhenTheServerClosesFirst() {
        var driver = Driver.live()
        _ = driver.receive { $0.reconnect.afterMs = 3000 }
        _ = driver.lose(4000)
        #expect(driver.pass(.milliseconds(2999)).dials.isEmpty)
        #expect(driver.pass(.milliseconds(2)).dials.count == 1)
        _ = driver.open()
        guard case .disconnected(_, let wait)? = driver.lose(4000).emitted.first else {
            Issue.record("a lost connection is told")
            return
        }
        #expect(wait > .zero, "the handover counts once; after that the backoff holds")
    }

    @Test func whatIsLateFromAnEarlierConnection_isIgnored() {
        var driver = Driver.live()
        let old = driver.session.connection
        _ = driver.lose()
        _ = driver.pass(.seconds(10))
        #expect(driver.session.opened(connection: old, token: "t", now: driver.now).isEmpty)
        #expect(driver.session.closed(connection: old, code: 4500, reason: "", now: driver.now).isEmpty)
        #expect(driver.open().written.count == 1)
    }

    @Test func close_endsEverything() throws {
        var driver = Driver.live()
        _ = try driver.send("a")
        let actions = driver.session.close()
        #expect(actions.first == .hangUp && actions.settled == ["a": "CANCELLED"])
        #expect(driver.session.close().isEmpty)
        #expect(driver.session.nextDeadline == nil)
    }
}
