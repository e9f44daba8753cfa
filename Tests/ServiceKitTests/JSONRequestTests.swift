// A request's JSON: what is taken, what is not, and which field is said to be at fault.
import Contract
import ServiceKit
import Testing

@Suite struct JSONRequestTests {
    private func profile(_ json: String) throws(JSONRequestError) -> Ringway_V1_UpdateMyProfileRequest {
        try Ringway_V1_UpdateMyProfileRequest(request: Array(json.utf8))
    }

    private func fault(_ json: String) -> String? {
        do {
            _ = try profile(json)
            return nil
        } catch {
            return error.field ?? error.message
        }
    }

    @Test func fields_that_are_not_known__are_ignored() throws {
        let request = try profile(
            #"{"later":{"status":"LATER","a":[1]},"nickname":"Ada","expectedVersion":"9007199254740993","status":"AWAY"}"#)
        #expect(request.nickname == "Ada")
        #expect(request.expectedVersion == 9_007_199_254_740_993)
        #expect(request.status == .away)
    }

    @Test(arguments: [
        (#"{"nickname":5}"#, "nickname"), (#"{"expectedVersion":"x"}"#, "expected_version"),
        (#"{"expected_version":1.5}"#, "expected_version"), (#"{"expectedVersion":18446744073709551616}"#, "expected_version"),
        (#"{"status":"LATER"}"#, "status"), (#"{"status":[]}"#, "status"), (#"{"custom":[]}"#, "custom"),
        (#"{"custom":{"a":"b","c":5}}"#, "custom.c"), (#"{"custom":{"not a name":5}}"#, "custom"),
        (#"{"updateMask":7}"#, "update_mask"),
        // Also beside what is not known.
        (#"{"later":1,"status":"LATER"}"#, "status"), (#"{"status":"LATER","later":1}"#, "status"),
    ])
    func value_of_another_type__is_named(json: String, field: String) {
        #expect(fault(json) == field)
    }

    @Test(arguments: ["{", "[]", "7", #"{"nickname":1e999}"#, #"{"nickname":"\ud800"}"#, #"{"nickname":"a",}"#])
    func what_is_no_json__has_no_field(json: String) {
        #expect(fault(json) == "the body is not this request as JSON")
    }

    @Test func nesting__is_bounded_in_what_is_ignored_too() {
        let deep = String(repeating: #"{"a":"#, count: 20) + "1" + String(repeating: "}", count: 20)
        #expect(fault(deep) == "the body is nested more than 16 deep")
    }

    /// Each is tried by itself, but not each of ten thousand.
    @Test func search_for_a_fault__is_bounded() throws {
        let names = (0..<10_000).map { "\"n\($0)\":0" }.joined(separator: ",")
        let started = ContinuousClock.now
        #expect(fault("{\(names),\"nickname\":5}") == "the body is not this request as JSON")
        #expect(try profile("{\(names),\"nickname\":\"Ada\"}").nickname == "Ada")
        #expect(ContinuousClock.now - started < .seconds(2))
    }
}
