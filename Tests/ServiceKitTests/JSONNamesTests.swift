// Names that stand twice in an object are found, however they are written, and nothing else is taken for one.
import Testing

@testable import ServiceKit

@Suite struct JSONNamesTests {
    @Test(arguments: [
        "", "1", "[]", "{}", #"{"a":1}"#, #"{"a":{"a":{"a":1}}}"#, #"[{"a":1},{"a":2}]"#, #"{"a":"b","b":"a"}"#,
        #"{"a":"a","b":["a","a"]}"#, #"{"a":"\"a\":1,\"a\":2"}"#, #"{"\\":1,"\"":2}"#, #"{"a":[{"b":1},{"b":2}],"b":3}"#,
        #"{ "a" : 1 , "A" : 2 , "a " : 3 }"#, #"{"é":1,"e\u0301":2}"#, #"{"a":"{","b":"["}"#,
        #"{"userId":"user_id","user":{"user_id":1}}"#, #"{"user_ids":1,"userId":2}"#,
        #"{"custom":{"a_b":"1","aB":"2"},"a_b":3}"#, #"{"\u0063ustom":{"a_b":"1","aB":"2"}}"#,
    ])
    func each_once__is_unique(text: String) {
        #expect(JSONNames.areUnique(in: Array(text.utf8)))
    }

    @Test(arguments: [
        #"{"a":1,"a":2}"#, #"{"a":1,"b":2,"a":1}"#, #"{ "a" : 1 , "a" : 2 }"#, #"{"a":1,"\u0061":2}"#,
        #"{"\"":1,"\u0022":2}"#, #"{"":1,"":2}"#, #"{"x":{"a":1,"a":2}}"#, #"[[{"a":[],"a":{}}]]"#,
        #"{"a":{"b":1},"c":[1,{"d":2}],"a":3}"#, #"{"é":1,"\u00e9":2}"#,
        #"{"user_id":1,"userId":2}"#, #"{"userId":1,"a":0,"user_id":2}"#, #"{"user\u005fid":1,"userId":2}"#,
        #"{"custom":{"a_b":"1","a_b":"2"}}"#, #"{"custom":{"a":"1"},"a_b":1,"aB":2}"#, #"{"custom":[{"a_b":1,"aB":2}]}"#,
    ])
    func twice__is_found(text: String) {
        #expect(!JSONNames.areUnique(in: Array(text.utf8)))
    }

    @Test func ten_thousand_names__are_compared_in_one_go() {
        let names = (0..<10_000).map { "\"n\($0)\":0" }
        #expect(JSONNames.areUnique(in: Array("{\(names.joined(separator: ","))}".utf8)))
        #expect(!JSONNames.areUnique(in: Array("{\(names.joined(separator: ",")),\"n5000\":1}".utf8)))
    }

    @Test(arguments: ["{", "\"", "{\"a", "}", "]]]]", "{\"\\", "{\"a\":1,\"a\\\":2}", "{,\"a\",\"a\"", "\\\"{}"])
    func what_no_decoder_takes__ends(text: String) {
        _ = JSONNames.areUnique(in: Array(text.utf8))
    }
}
