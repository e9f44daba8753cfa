// What may be written to a log.
import Contract
import Inbox
import Testing

@Suite struct InboxRulesTests {
    private static let sender: Int64 = 1

    private func defect(_ change: (inout Ringway_V1_Send) -> Void) -> InboxRules.SendDefect? {
        var send = Ringway_V1_Send.with {
            $0.clientID = "m1"
            $0.to = 2
            $0.body.text = "hi"
        }
        change(&send)
        do {
            try InboxRules.check(send, from: Self.sender)
            return nil
        } catch {
            return error
        }
    }

    @Test func good_sends__up_to_every_limit() {
        #expect(defect { _ in } == nil)
        #expect(defect { $0.clientID = String(repeating: "x", count: InboxRules.clientIDBytesMax) } == nil)
        #expect(defect { $0.body.text = String(repeating: "x", count: InboxRules.textBytesMax) } == nil)
        #expect(defect { $0.body.text = " \n\u{1F600}" } == nil)
        #expect(defect { $0.to = .max } == nil)
    }

    @Test(arguments: ["", String(repeating: "x", count: 65), String(repeating: "\u{e9}", count: 33), "a\0b"])
    func bad_client_id(id: String) {
        #expect(defect { $0.clientID = id } == .clientID)
    }

    @Test(arguments: [0, -1, Int64.min])
    func bad_recipient(id: Int64) {
        #expect(defect { $0.to = id } == .recipient)
    }

    @Test func bad_text_and_oneself() {
        #expect(defect { $0.to = Self.sender } == .toOneself)
        #expect(defect { $0.clearBody() } == .emptyText)
        #expect(defect { $0.body.text = "" } == .emptyText)
        let limit = InboxRules.textBytesMax
        #expect(defect { $0.body.text = String(repeating: "x", count: limit + 1) } == .longText)
        #expect(defect { $0.body.text = String(repeating: "\u{e9}", count: limit / 2 + 1) } == .longText)
        #expect(defect { $0.body.text = "a\0" } == .nul)
    }
}
