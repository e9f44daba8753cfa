// Each seq once and in order: doubles, holes, gaps, acks, and the sender's own entries.
import Contract
import Testing

@testable import RingwayClient

@Suite struct LogTests {
    @Test func doubles_areDropped() {
        var driver = Driver.live(since: 5)
        #expect(driver.event(5).isEmpty)
        #expect(driver.event(6).seqs == [6])
        #expect(driver.event(6).isEmpty)
    }

    @Test func resume_startsAfterTheLastContiguousSeq() {
        var driver = Driver.live()
        _ = driver.event(1)
        _ = driver.event(3)
        _ = driver.lose()
        _ = driver.pass(.seconds(10))
        #expect(driver.open().written.first?.hello.sinceSeq == 1)
        _ = driver.welcome()
        #expect(driver.event(2).seqs == [2, 3], "what came ahead is not forgotten")
        #expect(driver.event(3).isEmpty)
        #expect(driver.event(4).seqs == [4])
    }

    @Test func hole_isPulledAtOnceAndFilledInOrder() {
        var driver = Driver.live()
        #expect(driver.event(3).pulls == [0])
        #expect(driver.event(4).isEmpty, "one pull at a time")
        let answer = Ringway_V1_ReadInboxResponse.with {
            $0.events = (1...4).map { .message($0) }
            $0.headSeq = 4
        }
        #expect(driver.session.pulled(answer, now: driver.now).seqs == [1, 2, 3, 4])
    }

    @Test func hole_longerThanAPage_isPulledOn() {
        var driver = Driver.live()
        _ = driver.event(10)
        let page = Ringway_V1_ReadInboxResponse.with { $0.events = (1...5).map { .message($0) } }
        let actions = driver.session.pulled(page, now: driver.now)
        #expect(actions.seqs == [1, 2, 3, 4, 5] && actions.pulls == [5])
    }

    @Test func hole_thatThePullDoesNotFill_isResumedFrom() {
        var driver = Driver.live()
        _ = driver.event(3)
        let actions = driver.session.pulled(.init(), now: driver.now)
        #expect(actions.contains(.hangUp) && actions.seqs.isEmpty)
        _ = driver.pass(.seconds(10))
        #expect(driver.open().written.first?.hello.sinceSeq == 0)
    }

    @Test func failedPull_isResumedFrom() {
        var driver = Driver.live()
        _ = driver.event(3)
        let error = RingwayError(code: "UNAVAILABLE", message: "no")
        #expect(driver.session.pullFailed(error, now: driver.now).contains(.hangUp))
    }

    @Test func pulledLog_thatBeginsLater_isAGap() {
        var driver = Driver.live()
        _ = driver.event(9)
        let page = Ringway_V1_ReadInboxResponse.with { $0.events = (6...9).map { .message($0) } }
        let actions = driver.session.pulled(page, now: driver.now)
        #expect(actions.emitted.first == .gap(from: 1, to: 5))
        #expect(actions.seqs == [5, 6, 7, 8, 9])
    }

    @Test func gapFrame_movesOn() {
        var driver = Driver.live(since: 2)
        let actions = driver.receive {
            $0.gap.from = 1
            $0.gap.to = 7
        }
        #expect(actions.emitted == [.gap(from: 3, to: 7)])
        #expect(driver.event(8).seqs == [8])
        #expect(driver.receive { $0.gap.to = 4 }.isEmpty)
    }

    @Test func tooMuchAheadOfAHole_startsAgainFromIt() {
        var driver = Driver.live { $0.heldMax = 10 }
        var actions: [Action] = []
        for seq in 2...12 { actions += driver.event(Int64(seq)) }
        #expect(actions.contains(.hangUp) && actions.seqs.isEmpty)
    }

    @Test func sent_standsForItsEvent() throws {
        var driver = Driver.live()
        _ = try driver.send("a")
        let actions = driver.sent("a", 1)
        #expect(actions.settled == ["a": "#1"] && actions.seqs == [1])
        #expect(driver.event(1, device: 7, clientID: "a").isEmpty)
        #expect(driver.event(2).seqs == [2])
    }

    @Test func sent_aheadOfItsPredecessors_waitsForThem() throws {
        var driver = Driver.live()
        _ = try driver.send("a")
        let actions = driver.sent("a", 3)
        #expect(actions.settled == ["a": "#3"], "the commit is a fact")
        #expect(actions.seqs.isEmpty && actions.pulls.isEmpty)
        #expect(driver.event(1).seqs == [1])
        #expect(driver.event(2).seqs == [2, 3])
        #expect(driver.pass(.seconds(1)).pulls.isEmpty)
    }

    @Test func sent_whosePredecessorsDoNotCome_isPulledFor() throws {
        var driver = Driver.live()
        _ = try driver.send("a")
        _ = driver.sent("a", 3)
        #expect(driver.pass(.seconds(1)).pulls == [0])
        let page = Ringway_V1_ReadInboxResponse.with {
            $0.events = [.message(1), .message(2), .message(3, device: 7, clientID: "a")]
        }
        let events = driver.session.pulled(page, now: driver.now).emitted
        #expect(events.compactMap(\.seq) == [1, 2, 3])
        if case .sent? = events.last {} else { Issue.record("3 is the send's, not a message to show") }
    }

    @Test func ownMessage_isTheAnswerThatWasLost() throws {
        var driver = Driver.live()
        _ = try driver.send("a")
        _ = driver.lose()
        #expect(driver.comeBack().sends == ["a"])
        let actions = driver.event(1, device: 7, clientID: "a")
        #expect(actions.settled == ["a": "#1"])
        if case .sent? = actions.emitted.first {} else { Issue.record("it is the send's") }
        #expect(driver.sent("a", 1).isEmpty, "the retry's answer is the first one's double")
    }

    @Test func ownMessage_ofAnotherDeviceOrAnEarlierRun_isAnEvent() throws {
        var driver = Driver.live()
        _ = try driver.send("a")
        for action in [driver.event(1, device: 8, clientID: "a"), driver.event(2, device: 7, clientID: "b")] {
            if case .event? = action.emitted.first {} else { Issue.record("it is shown") }
        }
    }

    @Test func acks_areCumulativeAndSentTogether() {
        var driver = Driver.live()
        for seq in 1...5 {
            _ = driver.event(Int64(seq))
            driver.session.ack(Int64(seq), now: driver.now)
        }
        #expect(driver.pass(.milliseconds(250)).acks == [5])
        driver.session.ack(3, now: driver.now)
        driver.session.ack(99, now: driver.now)
        #expect(driver.pass(.seconds(1)).acks.isEmpty, "what is not there is not acknowledged")
        _ = driver.lose()
        _ = driver.comeBack()
        #expect(driver.pass(.milliseconds(250)).acks == [5], "the last one may have been lost")
    }
}
