// A send is repeated under its id until it is answered, and never after.
import Testing

@testable import RingwayClient

@Suite struct SendTests {
    @Test func send_isWrittenAtOnceWhenLive_orOnWelcome() throws {
        var driver = Driver()
        _ = driver.session.start(since: 0, now: driver.now)
        #expect(try driver.send("b").isEmpty)
        #expect(try driver.send("a").isEmpty)
        _ = driver.open()
        #expect(driver.welcome().sends == ["b", "a"], "in the order of the calls")
        #expect(try driver.send("c").sends == ["c"])
    }

    @Test func unanswered_isRepeatedOnTheNextConnection() throws {
        var driver = Driver.live()
        _ = try driver.send("a")
        _ = try driver.send("b")
        _ = driver.sent("a", 1)
        _ = driver.lose()
        #expect(driver.comeBack().sends == ["b"])
    }

    @Test func unanswered_isRepeatedOnALivingConnection() throws {
        var driver = Driver.live()
        _ = try driver.send("a")
        #expect(driver.pass(.seconds(14)).sends.isEmpty)
        #expect(driver.pass(.seconds(2)).sends == ["a"])
        _ = driver.sent("a", 1)
        #expect(driver.pass(.seconds(20)).sends.isEmpty)
    }

    @Test func refusal_isFinalWithoutARetryTime() throws {
        var driver = Driver.live()
        _ = try driver.send("a")
        let actions = driver.receive {
            $0.error.code = "PERMISSION_DENIED"
            $0.error.clientID = "a"
        }
        #expect(actions.settled == ["a": "PERMISSION_DENIED"])
        #expect(driver.sent("a", 0).settled.isEmpty)
    }

    @Test func refusal_withARetryTime_isRepeatedThen_onWhicheverConnection() throws {
        var driver = Driver.live()
        _ = try driver.send("a")
        let busy = driver.receive {
            $0.error.code = "RESOURCE_EXHAUSTED"
            $0.error.clientID = "a"
            $0.error.retryAfterMs = 3000
        }
        #expect(busy.isEmpty)
        _ = driver.lose()
        _ = driver.pass(.milliseconds(100))
        _ = driver.open()
        #expect(driver.welcome().sends.isEmpty)
        #expect(driver.pass(.milliseconds(2800)).sends.isEmpty)
        #expect(driver.pass(.milliseconds(200)).sends == ["a"])
    }

    @Test func refusal_ofNoSend_changesNothing() {
        var driver = Driver.live()
        #expect(driver.receive { $0.error.code = "INVALID_ARGUMENT" }.isEmpty)
    }

    @Test func tooLong_isRefusedHere_neverSentInALoop() throws {
        var driver = Driver()
        _ = driver.session.start(since: 0, now: driver.now)
        _ = try driver.send("a", String(repeating: "x", count: 11))
        _ = try driver.send("b", String(repeating: "x", count: 10))
        _ = driver.open()
        let actions = driver.welcome(textBytesMax: 10)
        #expect(actions.settled == ["a": "INVALID_ARGUMENT"] && actions.sends == ["b"])
        #expect(throws: RingwayError.self) { try driver.send("c", String(repeating: "x", count: 11)) }
    }

    @Test func sends_thatWait_areBounded() throws {
        var driver = Driver { $0.sendsMax = 3 }
        for number in 0..<3 { _ = try driver.send("\(number)") }
        #expect(throws: RingwayError.self) { try driver.send("3") }
    }

    @Test func abandoned_isNotRepeated() throws {
        var driver = Driver.live()
        _ = try driver.send("a")
        driver.session.abandonSend(clientID: "a")
        _ = driver.lose()
        #expect(driver.comeBack().sends.isEmpty)
        #expect(driver.sent("a", 1).seqs == [1], "it was committed all the same, and has its place")
    }
}
