<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" labelsEnabled="1" styleCategories="Symbology|Labeling|MapTips|Rendering">
  <renderer-v2 type="RuleRenderer" symbollevels="0" enableorderby="0" forceraster="0" referencescale="-1">
    <rules key="{c0000000-0000-4000-8000-000000000000}">
      <rule key="{c0000000-0000-4000-8000-000000000001}" symbol="0" label="captioned, confidence 0.7 and more"
            filter="&quot;status&quot; = 'captioned' AND coalesce(&quot;familiarity&quot;, 1) >= 0.5 AND &quot;confidence&quot; >= 0.7"/>
      <rule key="{c0000000-0000-4000-8000-000000000002}" symbol="1" label="captioned, confidence 0.4 to 0.7"
            filter="&quot;status&quot; = 'captioned' AND coalesce(&quot;familiarity&quot;, 1) >= 0.5 AND &quot;confidence&quot; >= 0.4 AND &quot;confidence&quot; &lt; 0.7"/>
      <rule key="{c0000000-0000-4000-8000-000000000003}" symbol="2" label="captioned, confidence below 0.4"
            filter="&quot;status&quot; = 'captioned' AND coalesce(&quot;familiarity&quot;, 1) >= 0.5 AND &quot;confidence&quot; &lt; 0.4"/>
      <rule key="{c0000000-0000-4000-8000-000000000004}" symbol="3" label="captioned, but like nothing that the model knows"
            filter="&quot;status&quot; = 'captioned' AND &quot;familiarity&quot; &lt; 0.5"/>
      <rule key="{c0000000-0000-4000-8000-000000000005}" symbol="4" label="skipped" filter="&quot;status&quot; = 'skipped'"/>
      <rule key="{c0000000-0000-4000-8000-000000000006}" symbol="5" label="failed" filter="&quot;status&quot; = 'failed'"/>
    </rules>
    <symbols>
      <symbol type="fill" name="0" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" enabled="1" locked="0" pass="0">
          <Option type="Map">
            <Option type="QString" name="color" value="34,139,120,30"/>
            <Option type="QString" name="outline_color" value="20,95,82,255"/>
            <Option type="QString" name="outline_style" value="solid"/>
            <Option type="QString" name="outline_width" value="0.5"/>
            <Option type="QString" name="outline_width_unit" value="MM"/>
            <Option type="QString" name="style" value="solid"/>
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="1" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" enabled="1" locked="0" pass="0">
          <Option type="Map">
            <Option type="QString" name="color" value="240,190,60,30"/>
            <Option type="QString" name="outline_color" value="170,125,20,255"/>
            <Option type="QString" name="outline_style" value="solid"/>
            <Option type="QString" name="outline_width" value="0.5"/>
            <Option type="QString" name="outline_width_unit" value="MM"/>
            <Option type="QString" name="style" value="solid"/>
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="2" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" enabled="1" locked="0" pass="0">
          <Option type="Map">
            <Option type="QString" name="color" value="215,95,50,30"/>
            <Option type="QString" name="outline_color" value="150,60,25,255"/>
            <Option type="QString" name="outline_style" value="solid"/>
            <Option type="QString" name="outline_width" value="0.5"/>
            <Option type="QString" name="outline_width_unit" value="MM"/>
            <Option type="QString" name="style" value="solid"/>
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="3" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" enabled="1" locked="0" pass="0">
          <Option type="Map">
            <Option type="QString" name="color" value="120,90,160,110"/>
            <Option type="QString" name="outline_color" value="85,60,120,255"/>
            <Option type="QString" name="outline_style" value="dash"/>
            <Option type="QString" name="outline_width" value="0.5"/>
            <Option type="QString" name="outline_width_unit" value="MM"/>
            <Option type="QString" name="style" value="b_diagonal"/>
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="4" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" enabled="1" locked="0" pass="0">
          <Option type="Map">
            <Option type="QString" name="color" value="128,128,128,40"/>
            <Option type="QString" name="outline_color" value="128,128,128,160"/>
            <Option type="QString" name="outline_style" value="dot"/>
            <Option type="QString" name="outline_width" value="0.2"/>
            <Option type="QString" name="outline_width_unit" value="MM"/>
            <Option type="QString" name="style" value="solid"/>
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="5" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" enabled="1" locked="0" pass="0">
          <Option type="Map">
            <Option type="QString" name="color" value="200,30,40,200"/>
            <Option type="QString" name="outline_color" value="200,30,40,255"/>
            <Option type="QString" name="outline_style" value="solid"/>
            <Option type="QString" name="outline_width" value="0.4"/>
            <Option type="QString" name="outline_width_unit" value="MM"/>
            <Option type="QString" name="style" value="cross"/>
          </Option>
        </layer>
      </symbol>
    </symbols>
  </renderer-v2>
  <labeling type="simple">
    <settings calloutType="simple">
      <text-style fieldName="wordwrap(coalesce(&quot;caption&quot;, &quot;status&quot;), 36)" isExpression="1" fontFamily="Sans Serif"
                  fontSize="8" fontSizeUnit="Point" fontWeight="50" textColor="25,25,25,255" textOpacity="1" multilineHeight="1">
        <text-buffer bufferDraw="1" bufferSize="0.8" bufferSizeUnits="MM" bufferColor="255,255,255,255" bufferOpacity="0.85"/>
      </text-style>
      <text-format multilineAlign="0"/>
      <placement placement="1" centroidInside="1" centroidWhole="0" fitInPolygonOnly="1" priority="5"/>
      <rendering drawLabels="1" obstacle="0" displayAll="0" scaleVisibility="0"/>
    </settings>
  </labeling>
  <mapTip enabled="1">&lt;div style="max-width: 28em">&lt;b>[% "id" %]&lt;/b> [% "status" %]&lt;br>[% replace(replace(coalesce("caption", "reason"), '&amp;', '&amp;amp;'), '&lt;', '&amp;lt;') %]&lt;br>&lt;i>confidence [% coalesce(round("confidence", 2), '-') %], familiarity [% coalesce(round("familiarity", 2), '-') %]&lt;/i>&lt;/div></mapTip>
  <layerGeometryType>2</layerGeometryType>
</qgis>
